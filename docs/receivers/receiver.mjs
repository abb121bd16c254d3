// A subscriber in Node.js, without packages: verifies each webhook, prints its type and recipient.
//
//     WEBHOOK_SECRET=whsec_… node docs/receivers/receiver.mjs 9000

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.env.WEBHOOK_SECRET;
if (!secret) throw new Error("set WEBHOOK_SECRET");

function isAuthentic(body, signature = "") {
  const expected = Buffer.from(createHmac("sha256", secret).update(body).digest("hex"));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks); // the raw bytes: the signature covers them, not what they parse to
  const authentic = isAuthentic(body, request.headers["x-webhook-signature"]);
  if (authentic) {
    const event = JSON.parse(body);
    console.log(event.type, event.data.recipient, event.id);
  }
  response.writeHead(authentic ? 204 : 401).end();
});

server.listen(Number(process.argv[2]), "127.0.0.1");
