// An agent as it is written with the official TypeScript clients: FOLDER of the clients, URL of the gateway, KEY.
import { createRequire } from "node:module";

const [folder, url, key] = process.argv.slice(2);
const require = createRequire(`${folder}/agent.js`);
const { Anthropic } = require("@anthropic-ai/sdk");
const { OpenAI } = require("openai");

const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "hi" }];
const tools = [{ name: "pay", input_schema: { type: "object", properties: {} } }];
const functions = [{ type: "function", function: { name: "pay", parameters: { type: "object", properties: {} } } }];

async function refused(call) {
  try {
    await call;
    return "nothing";
  } catch (error) {
    return error.constructor.name;
  }
}

const said = {};
const plain = await anthropic.messages.create({ model: "claude", max_tokens: 9, messages, tools });
said.plain = plain.content.map((block) => block.type);
const streamed = await anthropic.messages.stream({ model: "claude", max_tokens: 9, messages, tools }).finalMessage();
said.streamed = streamed.content;
said.counted = (await anthropic.messages.countTokens({ model: "claude", messages })).input_tokens;
const crossed = await anthropic.messages.stream({ model: "gpt", max_tokens: 9, messages }).finalMessage();
said.crossed = crossed.content;
said.missing = await refused(anthropic.messages.create({ model: "nobody", max_tokens: 9, messages }));
const chat = await openai.chat.completions.stream({ model: "claude", messages, tools: functions }).finalMessage();
said.chat = chat.tool_calls.map((call) => JSON.parse(call.function.arguments));
said.uncarried = await refused(openai.chat.completions.create({ model: "claude", messages, n: 2 }));
console.log(JSON.stringify(said));
