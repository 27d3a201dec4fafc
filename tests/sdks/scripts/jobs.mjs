// What the programs have in common: a job comes in as a JSON line, what the SDK made of it goes out as one.
import { createInterface } from "node:readline";

export const WEATHER = '{"degrees": 21}';

// Answers the jobs on standard input; `tasks` are async functions of a job, by name.
export async function serve(version, tasks) {
  write({ version });
  for await (const line of createInterface({ input: process.stdin })) {
    const job = JSON.parse(line);
    write(await tasks[job.task](job).catch((error) => ({ error: failure(error) })));
  }
}

function write(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

// What an application sees of an error, whichever of the two libraries' shapes it has.
function failure(error) {
  const headers = error.headers ?? error.responseHeaders;
  return {
    class: error.constructor.name,
    status: error.status ?? error.statusCode ?? null,
    code: error.code ?? error.data?.error?.code ?? null,
    message: error.message,
    retry_after: headers?.get?.("retry-after") ?? headers?.["retry-after"] ?? null,
  };
}
