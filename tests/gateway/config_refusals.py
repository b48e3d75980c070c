"""What cannot be meant in `oncegate.yaml`, and how the reader says so."""

from __future__ import annotations

from dataclasses import dataclass

START = """version: 1
models: {m: {provider: openai, url: "https://api.openai.com/v1"}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """`text` follows `START`, unless it is the `whole` file. `by_form`: the JSON Schema sees it too."""

    text: str
    found: str
    by_form: bool = False
    whole: bool = False

    @property
    def file(self) -> str:
        return self.text if self.whole else START + self.text


REFUSED: dict[str, Refused] = {
    "nothing to govern": Refused(
        text=("version: 1\nmodels: {}\n"),
        found="0: nothing to govern",
        whole=True,
    ),
    "no version": Refused(
        text=('version: 2\nmodels: {m: {provider: openai, url: "https://api.openai.com/v1"}}\n'),
        found="1: expected `1`",
        by_form=True,
        whole=True,
    ),
    "an API version elsewhere": Refused(
        text=('version: 1\nmodels: {m: {provider: openai, url: "https://h/v1", api_version: "2024-10-21"}}\n'),
        whole=True,
        found="2: only `azure_openai` has one",
    ),
    "an Azure URL without version": Refused(
        text=('version: 1\nmodels: {m: {provider: azure_openai, url: "https://h/openai"}}\n'),
        whole=True,
        found="2: without `api_version` an Azure URL",
    ),
    "duplicate key": Refused(
        text=("hosts: []\nhosts: []\n"),
        found="4: `hosts` stands here twice; the first is on line 3",
    ),
    "duplicate key below": Refused(
        text="limits: {body: 1MiB, body: 2MiB}\n",
        found="3: `body` stands here twice",
    ),
    "tab": Refused(
        text=("limits:\n\tbody: 1MiB\n"),
        found="4: a tab cannot indent",
    ),
    "anchor": Refused(
        text="hosts: &h [a]\n",
        found="3: anchors are not allowed: `&h`",
    ),
    "alias bomb": Refused(
        text=("hosts: &a [x, x]\nrunes: [*a, *a]\n"),
        found="4: aliases are not allowed: `*a`",
    ),
    "merge key": Refused(
        text="limits: {<<: {body: 1MiB}}\n",
        found="3: merge keys are not allowed",
    ),
    "tag": Refused(
        text="hosts: !!python/object:os.system [a]\n",
        found="3: tags are not allowed",
    ),
    "second document": Refused(
        text=("---\nversion: 1\n"),
        found="3: only one YAML document is expected",
    ),
    "directive": Refused(
        text=("%YAML 1.1\n---\nversion: 1\n"),
        found="2: YAML directives are not allowed",
        whole=True,
    ),
    "deep nesting": Refused(
        text="hosts: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        found="3: nested deeper than 16 levels",
    ),
    "not YAML": Refused(
        text="hosts: [a\n",
        found="4: is not YAML",
    ),
    "control character": Refused(
        text="hosts: ['\x01']\n",
        found="3: holds a character that YAML does not allow",
    ),
    "key that is a list": Refused(
        text="[a]: 1\n",
        found="3: a key must be plain text",
    ),
    "not a mapping": Refused(
        text="- a\n",
        found="1: the file must be a mapping of settings",
        by_form=True,
        whole=True,
    ),
    "secret in the open": Refused(
        text="secret_key: sk-proj-verysecret\n",
        found="3: expected a reference, `env:NAME` or `file:PATH`",
        by_form=True,
    ),
    "size without unit": Refused(
        text="limits: {body: 8}\n",
        found="3: expected a size such as",
        by_form=True,
    ),
    "size over the limit": Refused(
        text="limits: {body: 2GiB}\n",
        found="3: expected 1024B to 268435456B, not `2GiB`",
    ),
    "count over the limit": Refused(
        text="limits: {depth: 500}\n",
        found="3: expected a whole number from 4 to 128, not `500`",
        by_form=True,
    ),
    "truth as a word": Refused(
        text="development: yes\n",
        found="3: expected `true` or `false`, not `yes`",
        by_form=True,
    ),
    "password in the URL of the state": Refused(
        text="state: postgresql://u:hunter2@h/d\n",
        found="3: expected `postgresql://USER@HOST:PORT/DATABASE`; a password belongs into `state_password`",
        by_form=True,
    ),
    "password as a parameter of the state": Refused(
        text="state: postgresql://u@h/d?password=hunter2\n",
        found="3: expected `postgresql://USER@HOST:PORT/DATABASE`",
    ),
    "password for a file": Refused(
        text="state_password: env:PGPASSWORD\n",
        found="3: only a PostgreSQL `state` has a password",
    ),
    "verify tool that is not safe": Refused(
        text=(
            "mcp_servers: {pay: {url: 'http://127.0.0.1:1/mcp', tools: {charge: {verify: {tool: lst, key: /k}}, "
            "list: {effect: safe}}}}\n"
        ),
        found="3: `lst` must be a tool of this server with `effect: safe`; did you mean `list`?",
    ),
    "verify without a rule": Refused(
        text=(
            "mcp_servers: {pay: {url: 'http://127.0.0.1:1/mcp', tools: {charge: {verify: {tool: list}}, "
            "list: {effect: safe}}}}\n"
        ),
        found="3: expected `key`, or `match` together with `id`",
    ),
    "agent of no domain": Refused(
        text="agents: {billing: {domain: acme}}\n",
        found="3: trust domain `acme` is not among `trust_domains`",
    ),
    "state elsewhere": Refused(
        text="state: mysql://u:hunter2@x\n",
        found="3: expected `sqlite:///PATH`",
        by_form=True,
    ),
    "state option": Refused(
        text="state: 'sqlite:///x.db?synchronous=OFF'\n",
        found="3: expected `sqlite:///PATH`",
        by_form=True,
    ),
    "address without port": Refused(
        text="listen: 127.0.0.1\n",
        found="3: expected `host:port`",
        by_form=True,
    ),
    "port too large": Refused(
        text="listen: 127.0.0.1:70000\n",
        found="3: expected `host:port`",
    ),
    "same address twice": Refused(
        text="admin: 127.0.0.1:8080\n",
        found="3: `listen` and `admin` need different addresses",
    ),
    "setting of a later version": Refused(
        text="quotas: []\n",
        found="3: unknown setting `quotas`",
        by_form=True,
    ),
    "unknown setting below": Refused(
        text="telemetry: {contents: none}\n",
        found="3: unknown setting `contents`",
        by_form=True,
    ),
    "audit not required": Refused(
        text="telemetry: {audit: optional}\n",
        found="3: `optional` is not known here",
        by_form=True,
    ),
    "open to all in development": Refused(
        text=("listen: 10.0.0.1:80\ndevelopment: true\n"),
        found="4: `development: true` admits",
    ),
    "open without credentials": Refused(
        text="listen: 10.0.0.1:80\n",
        found="3: `listen` needs a trust domain with `issuers`",
    ),
    "admin open without credentials": Refused(
        text="admin: 10.0.0.1:81\n",
        found="3: `admin` needs a trust domain",
    ),
    "domain without purpose": Refused(
        text=(
            "listen: 10.0.0.1:80\n"
            "trust_domains:\n"
            "  a: {issuers: [{issuer: i, jwks_file: j, algorithms: [RS256], audience: g}]}\n"
            "  b: {}\n"
        ),
        found="6: trust domain `b` has neither credentials nor upstreams",
    ),
    "issuer in two domains": Refused(
        text=(
            "trust_domains:\n"
            "  a: {issuers: [{issuer: i, jwks_file: j, algorithms: [RS256], audience: g}]}\n"
            "  b: {issuers: [{issuer: i, jwks_file: j, algorithms: [RS256], audience: g}]}\n"
        ),
        found="5: issuer `i` already speaks for trust domain `a`",
    ),
    "agents of two issuers": Refused(
        text=(
            "trust_domains:\n"
            "  a:\n"
            "    issuers:\n"
            "      - {issuer: i, jwks_file: j, algorithms: [RS256], audience: g, agents: [x-*]}\n"
            "      - {issuer: k, jwks_file: j, algorithms: [RS256], audience: g, agents: ['*-y']}\n"
        ),
        found="7: agents `x-*` may be named by issuer `i` as well",
    ),
    "issuer without audience": Refused(
        text='trust_domains: {a: {issuers: [{issuer: "i", jwks_file: j, algorithms: [RS256]}]}}\n',
        found="3: `trust_domains.a.issuers.0` needs `audience`",
        by_form=True,
    ),
    "issuer without keys": Refused(
        text='trust_domains: {a: {issuers: [{issuer: "i", audience: g, algorithms: [RS256]}]}}\n',
        found="3: without `jwks_url` or `jwks_file` the issuer must be an https URL",
    ),
    "issuer with two sources of keys": Refused(
        text=(
            "trust_domains: {a: {issuers: ["
            "{issuer: i, jwks_file: j, jwks_url: https://i/j, audience: g, algorithms: [RS256]}]}}\n"
        ),
        found="3: `jwks_url` or `jwks_file`, and only one of them",
    ),
    "symmetric algorithm": Refused(
        text="trust_domains: {a: {issuers: [{issuer: i, jwks_file: j, algorithms: [HS256], audience: g}]}}\n",
        found="3: `HS256` is not known here",
        by_form=True,
    ),
    "two families": Refused(
        text="trust_domains: {a: {issuers: [{issuer: i, jwks_file: j, algorithms: [RS256, ES256], audience: g}]}}\n",
        found="3: algorithms of one family are expected, not of EC, RSA",
    ),
    "plain http for keys": Refused(
        text="trust_domains: {a: {issuers: [{issuer: i, jwks_url: http://i/j, algorithms: [RS256], audience: g}]}}\n",
        found="3: expected https",
    ),
    "leeway too long": Refused(
        text="trust_domains: {a: {issuers: ["
        "{issuer: i, jwks_file: j, algorithms: [RS256], audience: g, leeway: 5m}]}}\n",
        found="3: expected `0ms` to `1m`",
    ),
    "credentials in a URL": Refused(
        text='mcp_servers: {s: {url: "https://user:hunter2@x/mcp"}}\n',
        found="3: expected an http or https URL without user",
        by_form=True,
    ),
    "file URL": Refused(
        text='mcp_servers: {s: {url: "file:///etc"}}\n',
        found="3: expected an http or https URL",
        by_form=True,
    ),
    "credential of both kinds": Refused(
        text='mcp_servers: {s: {url: "http://x", credential: {bearer: "env:A", header: {name: X, value: "env:B"}}}}\n',
        found="3: `mcp_servers.s.credential` needs `bearer`, `header`, `client_credentials` or `token_exchange`",
        by_form=True,
    ),
    "client of two proofs": Refused(
        text=(
            "mcp_servers: {s: {url: http://x, credential: {client_credentials: {token_url: https://t, client_id: c, "
            "client_secret: env:A, private_key: env:B}}}}\n"
        ),
        found="3: `mcp_servers.s.credential.client_credentials` needs `client_secret` or `private_key`, and only one",
        by_form=True,
    ),
    "plain http for tokens": Refused(
        text=(
            "mcp_servers: {s: {url: http://x, credential: {token_exchange: {token_url: http://t, client_id: c, "
            "client_secret: env:A}}}}\n"
        ),
        found="3: expected https",
    ),
    "key id of a secret": Refused(
        text=(
            "mcp_servers: {s: {url: http://x, credential: {token_exchange: {token_url: https://t, client_id: c, "
            "client_secret: env:A, key_id: k}}}}\n"
        ),
        found="3: only a `private_key` has one",
    ),
    "credential in a header of ours": Refused(
        text='mcp_servers: {s: {url: "http://x", credential: {header: {name: Host, value: "env:B"}}}}\n',
        found="3: `Host` is written by the gateway itself",
    ),
    "header credential of a command": Refused(
        text='mcp_servers: {s: {command: [x], credential: {bearer: "env:A"}}}\n',
        found="3: a `command` gets its secrets by `env`",
    ),
    "empty command": Refused(
        text="mcp_servers: {s: {command: []}}\n",
        found="3: `mcp_servers.s.command` needs at least 1 item",
        by_form=True,
    ),
    "cancelled once": Refused(
        text="mcp_servers: {s: {command: [x], tools: {t: {on_disconnect: cancel}}}}\n",
        found="3: a `once` tool is finished",
    ),
    "pattern with an empty segment": Refused(
        text='resilience: {"model//x": {}}\n',
        found="3: `model//x` cannot be a resource pattern",
        by_form=True,
    ),
    "host with a space": Refused(
        text='hosts: ["a b"]\n',
        found="3: expected a host name",
        by_form=True,
    ),
    "negative price": Refused(
        text=('version: 1\nmodels: {m: {provider: openai, url: "https://x", price: {input: -1, output: 1}}}\n'),
        found="2: expected an amount in US dollars",
        by_form=True,
        whole=True,
    ),
    "star without quotes": Refused(
        text="hosts: [*]\n",
        found="3: a value that begins with `*` must stand in quotes",
    ),
    "one audience for both listeners": Refused(
        text="trust_domains: {a: {issuers: ["
        "{issuer: i, jwks_file: j, algorithms: [RS256], audience: g, admin_audience: g}]}}\n",
        found="3: the admin listener needs an audience of its own",
    ),
    "one claim for two things": Refused(
        text="trust_domains: {a: {issuers: ["
        "{issuer: i, jwks_file: j, algorithms: [RS256], audience: g, roles_claim: sub}]}}\n",
        found="3: agent, user, roles and groups must come from different claims",
    ),
    "every address without a public URL": Refused(
        text="listen: 0.0.0.0:80\n"
        "trust_domains: {a: {issuers: [{issuer: i, jwks_file: j, algorithms: [RS256], audience: g}]}}\n",
        found="3: `public_url` is needed when `listen` is every address",
    ),
    "environment of a URL": Refused(
        text="mcp_servers: {s: {url: 'http://x', env: [A]}}\n",
        found="3: only a `command` has an environment",
    ),
    "program without a name": Refused(
        text="mcp_servers: {s: {command: ['']}}\n",
        found="3: the program's name is empty",
    ),
    "port that is no number": Refused(
        text="mcp_servers: {s: {url: 'http://x:99999/mcp'}}\n",
        found="3: expected an http or https URL",
    ),
    "path that is empty": Refused(
        text="policies: ''\n",
        found="3: expected the path of a folder",
        by_form=True,
    ),
    "pattern nobody can match": Refused(
        text="resilience: {'**/x': {}}\n",
        found="3: `**/x` is no resource pattern",
    ),
}
