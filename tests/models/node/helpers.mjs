// Tool runners and parsing helpers of the official TypeScript clients: FOLDER of the clients, URL of the gateway, KEY.
import { createRequire } from "node:module";

const [folder, url, key] = process.argv.slice(2);
const require = createRequire(`${folder}/helpers.js`);
const { Anthropic } = require("@anthropic-ai/sdk");
const { jsonSchemaOutputFormat } = require("@anthropic-ai/sdk/helpers/json-schema");
const { OpenAI } = require("openai");

const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const asked = (content) => [{ role: "user", content }];
const schema = { type: "object", properties: { to: { type: "string" } }, required: ["to"], additionalProperties: false };
const paid = [];
const pay = (by) => ({ to }) => paid.push(`${by} ${to}`) && `paid ${to}`;

const said = {};
const runner = openai.chat.completions.runTools({
  model: "one",
  messages: asked("run"),
  tools: [{ type: "function", function: { name: "pay", parameters: schema, parse: JSON.parse, function: pay("chat") } }],
});
said.chat = await runner.finalContent();
const tools = [{ name: "pay", description: "Pay.", input_schema: schema, parse: (input) => input, run: pay("messages") }];
const last = await anthropic.beta.messages.toolRunner({ model: "claude", max_tokens: 9, messages: asked("run"), tools });
said.messages = last.content[0].text;

const strict = { name: "pay", strict: true, parameters: schema };
const completion = await openai.chat.completions.parse({
  model: "one",
  messages: asked("parse"),
  tools: [{ type: "function", function: strict }],
});
said.chatParsed = completion.choices[0].message.tool_calls[0].function.parsed_arguments;
const response = await openai.responses.parse({ model: "one", input: "parse", tools: [{ type: "function", ...strict }] });
said.responsesParsed = response.output.find((item) => item.type === "function_call").parsed_arguments;
const message = await anthropic.messages.parse({
  model: "claude",
  max_tokens: 9,
  messages: asked("format"),
  output_config: { format: jsonSchemaOutputFormat(schema) },
});
said.messagesParsed = message.parsed_output;
console.log(JSON.stringify({ said, paid }));
