// Responses as they are asked for with the official TypeScript client: FOLDER of the clients, URL of the gateway, KEY.
import { createRequire } from "node:module";

const [folder, url, key] = process.argv.slice(2);
const { OpenAI } = createRequire(`${folder}/agent.js`)("openai");
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });

async function refused(call) {
  try {
    await call;
    return "nothing";
  } catch (error) {
    return error.constructor.name;
  }
}

const said = {};
const plain = await openai.responses.create({ model: "allowed", input: "hi" });
said.plain = plain.output_text;
const stream = openai.responses.stream({ model: "allowed", input: "hi", previous_response_id: plain.id });
let pieces = "";
for await (const event of stream) pieces += event.type === "response.output_text.delta" ? event.delta : "";
said.pieces = pieces;
said.streamed = (await stream.finalResponse()).output_text;
said.stranger = await refused(
  openai.responses.create({ model: "allowed", input: "hi", previous_response_id: "resp_of_nobody" }),
);
said.hosted = await refused(
  openai.responses.create({ model: "allowed", input: "hi", tools: [{ type: "code_interpreter", container: "c" }] }),
);
said.missing = await refused(openai.responses.create({ model: "nobody", input: "hi" }));
console.log(JSON.stringify(said));
