// The official SDK for Node.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { VERSION } from "openai/version";
import { z } from "zod";
import { serve, WEATHER } from "./jobs.mjs";

const PARAMETERS = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const CHAT_TOOLS = [{ type: "function", function: { name: "get_weather", parameters: PARAMETERS } }];
const TOOLS = [{ type: "function", name: "get_weather", parameters: PARAMETERS, strict: true }];
const PLACE = z.object({ city: z.string(), days: z.number().int() });

function client(job) {
  const { base_url: baseURL, headers: defaultHeaders } = job;
  return new OpenAI({ apiKey: "sk-caller", baseURL, defaultHeaders, maxRetries: 0, timeout: 60_000 });
}

const user = (content) => [{ role: "user", content }];

async function taken(stream, count, shown) {
  const found = [];
  for await (const event of stream) {
    found.push(shown(event));
    if (found.length === count) break;
  }
  stream.controller.abort();
  return { taken: found };
}

const completed = (whole) => ({
  text: whole.choices[0].message.content,
  finish: whole.choices[0].finish_reason,
  whole,
});

const chat = {
  async chat(job) {
    return completed(await client(job).chat.completions.create({ model: job.model, messages: user(job.prompt) }));
  },
  async stream(job) {
    const asked = { model: job.model, messages: user(job.prompt), stream: true };
    const chunks = [];
    const stream = await client(job).chat.completions.create({ ...asked, stream_options: { include_usage: true } });
    for await (const chunk of stream) chunks.push(chunk);
    return { text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), whole: chunks };
  },
  async tools(job) {
    const messages = user(job.prompt);
    const asked = { model: job.model, messages, tools: CHAT_TOOLS };
    const first = await client(job).chat.completions.create(asked);
    const [call] = first.choices[0].message.tool_calls;
    messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: WEATHER });
    const calls = [[call.function.name, call.function.arguments]];
    return { calls, ...completed(await client(job).chat.completions.create(asked)) };
  },
  async image(job) {
    const image = { type: "image_url", image_url: { url: job.image } };
    const messages = user([{ type: "text", text: job.prompt }, image]);
    return completed(await client(job).chat.completions.create({ model: job.model, messages }));
  },
  async structured(job) {
    const asked = { model: job.model, messages: user(job.prompt), response_format: zodResponseFormat(PLACE, "place") };
    const whole = await client(job).chat.completions.parse(asked);
    return { parsed: whole.choices[0].message.parsed, ...completed(whole) };
  },
  async cancel(job) {
    const asked = { model: job.model, messages: user(job.prompt), stream: true };
    const stream = await client(job).chat.completions.create(asked);
    return taken(stream, 3, (chunk) => chunk.choices[0].delta.content);
  },
};

const responded = (whole) => ({ text: whole.output_text, finish: whole.status, whole });

const responses = {
  async chat(job) {
    return responded(await client(job).responses.create({ model: job.model, input: job.prompt }));
  },
  async stream(job) {
    const events = [];
    const stream = await client(job).responses.create({ model: job.model, input: job.prompt, stream: true });
    for await (const event of stream) events.push(event);
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    return { text: deltas.map((event) => event.delta).join(""), whole: events };
  },
  async tools(job) {
    const input = user(job.prompt);
    const first = await client(job).responses.create({ model: job.model, input, tools: TOOLS });
    const [call] = first.output;
    input.push(call, { type: "function_call_output", call_id: call.call_id, output: WEATHER });
    const second = await client(job).responses.create({ model: job.model, input, tools: TOOLS });
    return { calls: [[call.name, call.arguments]], ...responded(second) };
  },
  async image(job) {
    const image = { type: "input_image", image_url: job.image, detail: "auto" };
    const input = user([{ type: "input_text", text: job.prompt }, image]);
    return responded(await client(job).responses.create({ model: job.model, input }));
  },
  async structured(job) {
    const asked = { model: job.model, input: job.prompt, text: { format: zodTextFormat(PLACE, "place") } };
    const whole = await client(job).responses.parse(asked);
    return { parsed: whole.output_parsed, ...responded(whole) };
  },
  async cancel(job) {
    const stream = await client(job).responses.create({ model: job.model, input: job.prompt, stream: true });
    return taken(stream, 6, (event) => event.type);
  },
};

const names = Object.keys(chat);
const tasks = names.map((name) => [name, (job) => (job.api === "responses" ? responses : chat)[name](job)]);
await serve(VERSION, Object.fromEntries(tasks));
