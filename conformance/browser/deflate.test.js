'use strict';
// Compression with Chromium at the other end: what a page sends comes back, compressed both ways.

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { serve } = require('../peers/node/command');
const { SOON, launch } = require('./chromium');

let browser;

before(async () => { browser = await launch(); });
after(() => browser?.close());

/** Echoes messages of all kinds in a page; what went wrong, and the extensions that were agreed on. */
function talk(path) {
  const records = (size) => {
    let text = '';
    for (let id = 1; text.length < size; id = (id * 7919) % 99991) text += JSON.stringify({ id, open: id % 2 === 0 });
    return text.slice(0, size);
  };
  const noise = new Uint8Array(50_000);
  crypto.getRandomValues(noise);
  const messages = [
    '', new Uint8Array(0), 'short', records(1000), records(2000), records(2000), 'grüße '.repeat(500), noise,
    new Uint8Array(200_000), records(1 << 20), new TextEncoder().encode(records(1 << 20)),
  ];
  const text = (message) => (typeof message === 'string' ? message : `binary ${[...new Uint8Array(message)].join()}`);
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}${path}`);
    socket.binaryType = 'arraybuffer';
    const wrong = [];
    let next = 0;
    socket.onopen = () => { for (const message of messages) socket.send(message); };
    socket.onmessage = ({ data }) => {
      if (text(data) !== text(messages[next])) wrong.push(next);
      if (++next === messages.length) socket.close(1000);
    };
    socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean, wrong, next, extensions: socket.extensions });
  });
}

for (const [mode, extensions] of [
  ['off', ''],
  ['on', 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
  ['takeover', 'permessage-deflate; server_max_window_bits=12; client_max_window_bits=12'],
]) {
  test(`--deflate=${mode}`, async () => {
    const server = await serve(`--deflate=${mode}`);
    const context = await browser.newContext();
    try {
      context.setDefaultTimeout(SOON);
      const page = await context.newPage();
      await page.goto(`http://${server.host}/`);
      // What comes back does so in one frame, or in many; what a page sends is Chromium's choice.
      for (const path of ['/echo', '/echo?frame=5000']) {
        const result = await page.evaluate(talk, path);
        assert.deepEqual(result, { code: 1000, wasClean: true, wrong: [], next: 11, extensions }, path);
      }
    } finally {
      await context.close();
      await server.stop();
    }
  });
}
