// The Vercel AI SDK with @ai-sdk/openai: openai() speaks the Responses API, openai.chat() chat completions.
import { createRequire } from "node:module";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { serve, WEATHER } from "./jobs.mjs";

const PLACE = z.object({ city: z.string(), days: z.number().int() });

function asked(job) {
  const openai = createOpenAI({ apiKey: "sk-caller", baseURL: job.base_url, headers: job.headers });
  const model = job.api === "responses" ? openai(job.model) : openai.chat(job.model);
  return { model, maxRetries: 0 };
}

const shown = (result) => ({
  text: result.text,
  finish: result.finishReason,
  usage: result.totalUsage ?? result.usage,
  warnings: result.warnings,
});

// Streams report errors as parts, and go on to an end of their own.
function started(job, more = {}) {
  return streamText({ ...asked(job), prompt: job.prompt, onError() {}, ...more });
}

const tasks = {
  async chat(job) {
    return shown(await generateText({ ...asked(job), prompt: job.prompt }));
  },
  async stream(job) {
    const result = started(job);
    const parts = [];
    for await (const part of result.fullStream) {
      if (part.type === "error") throw part.error;
      parts.push(part);
    }
    const text = parts.filter((part) => part.type === "text-delta").map((part) => part.text);
    return { text: text.join(""), usage: await result.totalUsage, parts: parts.map((part) => part.type) };
  },
  async tools(job) {
    const get_weather = tool({ inputSchema: PLACE, execute: async () => WEATHER });
    const more = { tools: { get_weather }, stopWhen: stepCountIs(3) };
    const result = await generateText({ ...asked(job), prompt: job.prompt, ...more });
    const calls = result.steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input]));
    return { calls, ...shown(result) };
  },
  async image(job) {
    const content = [{ type: "text", text: job.prompt }, { type: "image", image: job.image }];
    return shown(await generateText({ ...asked(job), messages: [{ role: "user", content }] }));
  },
  async structured(job) {
    const output = Output.object({ schema: PLACE });
    const result = await generateText({ ...asked(job), prompt: job.prompt, output });
    return { parsed: result.output, ...shown(result) };
  },
  async cancel(job) {
    const controller = new AbortController();
    const result = started(job, { abortSignal: controller.signal });
    const taken = [];
    for await (const text of result.textStream) {
      taken.push(text);
      if (taken.length === 3) break;
    }
    controller.abort();
    return { taken };
  },
};

await serve(createRequire(import.meta.url)("ai/package.json").version, tasks);
