// Receive opswatch's callbacks: verify the signature, print the event, answer. No dependency.
//
// $ WEBHOOK_SECRETS="whsec_new whsec_old" node receiver.mjs 8080

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE = 300; // seconds by which a timestamp may differ from this clock; it prevents replays
const MAX_BODY = 64 * 1024; // opswatch sends less than 20 kB
const MALFORMED = "malformed: it must be whsec_ and base64 of 24 to 64 bytes, as `opswatch secret` prints";
const seen = new Set(); // lost at a restart; in production, use a unique key in your database

/** Do your work here, within 15 seconds: after that opswatch sends the event again. */
async function handle(event) {
  console.log(JSON.stringify(event));
}

/**
 * Return the keys in WEBHOOK_SECRETS; throw an error if any of them is missing or wrong.
 * It is read for each request, too, because anybody can sign with an empty key.
 */
function readSecrets() {
  const secrets = (process.env.WEBHOOK_SECRETS ?? "").split(/\s+/).filter(Boolean);
  if (secrets.length === 0) throw new Error("WEBHOOK_SECRETS is missing: `opswatch secret` creates one");
  return secrets.map((secret, index) => {
    // Buffer.from would skip what is not base64.
    const [, text = ""] = /^whsec_((?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(secret) ?? [];
    const key = Buffer.from(text, "base64");
    if (key.length < 24 || key.length > 64) throw new Error(`WEBHOOK_SECRETS: secret ${index + 1} is ${MALFORMED}`);
    return key;
  });
}

/** Return whether one of the signatures (`v1,…`, separated by spaces) is by one of `keys`. */
function isGenuine(keys, id, timestamp, signatures, body) {
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) return false;
  const given = signatures.split(" ").map((signature) => Buffer.from(signature));
  return keys.some((key) => {
    const hmac = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body); // the raw body
    const own = Buffer.from(`v1,${hmac.digest("base64")}`);
    return given.some((other) => own.length === other.length && timingSafeEqual(own, other));
  });
}

/** Return the status code of the answer. */
async function receive(request) {
  if (request.method !== "POST") return 405;
  const id = request.headers["webhook-id"];
  const timestamp = request.headers["webhook-timestamp"];
  const signatures = request.headers["webhook-signature"];
  if (!id || !signatures || !/^[0-9]{1,12}$/.test(timestamp)) return 400;
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    if ((length += chunk.length) > MAX_BODY) return 400;
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  if (!isGenuine(readSecrets(), id, timestamp, signatures, body)) return 401;
  if (!seen.has(id)) {
    // otherwise it was sent again, because the last answer was lost
    await handle(JSON.parse(body));
    seen.add(id); // last: if anything fails before this, the event is sent again
  }
  return 204;
}

try {
  readSecrets();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
const server = createServer((request, response) => {
  receive(request)
    .catch((error) => (console.error(error.message), 500)) // the event is sent again later
    .then((code) => response.writeHead(code).end());
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`Listening on http://127.0.0.1:${server.address().port}`);
});
