// Which class the official TypeScript clients raise for what, by the names of rows that the provider knows as prompts.
// FOLDER of the clients, URL of the gateway, KEY, URL of nobody; the names of the rows on standard input.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, url, key, nowhere] = process.argv.slice(2);
const require = createRequire(`${folder}/errors.js`);
const errors = { openai: require("openai/core/error"), anthropic: require("@anthropic-ai/sdk/core/error") };
const { Anthropic } = require("@anthropic-ai/sdk");
const { OpenAI } = require("openai");

const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const strict = { type: "function", function: { name: "f", strict: true, parameters: { type: "object" } } };

async function drained(asked) {
  for await (const event of await asked) void event;
}

const apis = {
  chat: {
    client: openai,
    ask: (client, said, more = {}, options = {}) =>
      client.chat.completions.create({ model: "one", messages: [{ role: "user", content: said }], ...more }, options),
    parse: (said) =>
      openai.chat.completions.parse({ model: "one", messages: [{ role: "user", content: said }], tools: [strict] }),
  },
  responses: {
    client: openai,
    ask: (client, said, more = {}, options = {}) =>
      client.responses.create({ model: "one", input: said, ...more }, options),
  },
  messages: {
    client: anthropic,
    ask: (client, said, more = {}, options = {}) =>
      client.messages.create(
        { model: "claude", max_tokens: 9, messages: [{ role: "user", content: said }], ...more },
        options,
      ),
  },
};

const ways = {
  answered: ({ client, ask }, row) => ask(client, row),
  stranger: ({ client, ask }, row) => ask(client.withOptions({ apiKey: "og_nobody_aaaaaaaaaaaaaaaaaaaaaaaa" }), row),
  nobody: ({ client, ask }, row) => ask(client.withOptions({ baseURL: nowhere }), row),
  slow: ({ client, ask }, row) => ask(client, row, {}, { timeout: 300 }),
  left: ({ client, ask }, row) => ask(client, row, {}, { signal: AbortSignal.timeout(300) }),
  cut: ({ client, ask }, row) => drained(ask(client, row, { stream: true })),
  parsed: ({ parse }, row) => parse(row),
};

const raised = {};
for (const row of JSON.parse(readFileSync(0, "utf8"))) {
  const [api, way] = row.split(" ");
  try {
    await ways[way](apis[api], row);
    raised[row] = ["nothing", ""];
  } catch (error) {
    raised[row] = [error.constructor.name, error.message];
  }
}
const classes = {};
for (const [name, module] of Object.entries(errors))
  classes[name] = Object.keys(module).filter((one) => module[one].prototype instanceof Error);
console.log(JSON.stringify({ classes, raised }));
