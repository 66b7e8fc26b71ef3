// Drives the service at the address given through types generated from its document.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schedule = components["schemas"]["ScheduleBody"];
type Problem = components["schemas"]["Problem"];

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`not as expected: ${what}`);
}

declare const process: { argv: string[] };
const baseUrl = process.argv[2]!;
const account = { username: "tess", email: "tess@example.org", password: "correct horse 7" };
const anonymous = createClient<paths>({ baseUrl });

const registered = await anonymous.POST("/api/v1/auth/users", { body: account });
check(registered.data?.username === "tess", "the registered user");

const { data: pair } = await anonymous.POST("/api/v1/auth/login", {
  body: { username: account.username, password: account.password },
});
check(pair !== undefined, "the tokens");

const client = createClient<paths>({
  baseUrl,
  headers: { Authorization: `Bearer ${pair.access}` },
});
const planned = await client.POST("/api/v1/schedules", {
  body: { task_definition: "echo", cron_expression: "0 9 * * 1-5" },
});
const schedule: Schedule | undefined = planned.data;
check(schedule?.cron_expression === "0 9 * * 1-5", "the schedule");

await client.POST("/api/v1/goals", { body: { goal_name: "Learn", category: "Primary" } });
const logged = await client.POST("/api/v1/goals/{goal_num}/progress", {
  params: { path: { goal_num: 1 } },
  body: { progress: "One chapter", logged_hours: "01:30:00" },
});
check(logged.data?.progress_num === 1, "the progress entry");

const range = await client.GET("/api/v1/summary/range", {
  params: { query: { first: logged.data.local_day, last: logged.data.local_day } },
});
check(range.data?.total_hours === 1.5, "the summary of the range");

const refused = await client.POST("/api/v1/schedules", {
  body: { task_definition: "echo", cron_expression: "never" },
});
const problem: Problem | undefined = refused.error;
check(refused.response.status === 400 && problem?.status === 400, "the status of the problem");
check((problem.field_errors["cron_expression"]?.length ?? 0) > 0, "the field at fault");
