'use strict';
// Compression with npm's `ws` at the other end, with each of its options, in both roles.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { randomBytes } = require('node:crypto');
const { after, before, describe, test } = require('node:test');
const WebSocket = require('ws');
const { connect, serve, within } = require('./command');

const OPTIONS = [
  {},
  { serverNoContextTakeover: true, clientNoContextTakeover: true },
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  ...[9, 10, 11, 12, 13, 14, 15].map((bits) => ({ serverMaxWindowBits: bits, clientMaxWindowBits: bits })),
];

function records(size, seed = 1) {
  let text = '';
  for (let id = seed; text.length < size; id = (id * 7919) % 99991) text += JSON.stringify({ id, open: id % 2 === 0 });
  return text.slice(0, size);
}

const MESSAGES = [
  '', Buffer.alloc(0), 'short', records(100), records(1024), records(1024), Buffer.alloc(5000), records(70_000),
  randomBytes(3000), 'grüße '.repeat(500), records(1 << 20, 2), Buffer.from(records(1 << 20, 3)),
];

/** A connection that can be asked for its messages in order. */
async function open(url, options) {
  const socket = new WebSocket(url, [], options);
  const messages = [], waiting = [];
  socket.on('message', (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    const wanted = waiting.shift();
    if (wanted) wanted(message);
    else messages.push(message);
  });
  await within(once(socket, 'open'), `${url} opens`);
  const next = () => within(messages.length ? messages.shift() : new Promise((resolve) => waiting.push(resolve)), 'a message');
  return { socket, next };
}

/** Sends it in two frames, with a ping between them. */
function sendFragments(socket, message, binary = typeof message !== 'string') {
  const third = Math.floor(message.length / 3);
  socket.send(message.slice(0, third), { fin: false, binary });
  socket.ping('between');
  socket.send(message.slice(third), { fin: true, binary });
}

for (const mode of ['on', 'takeover']) {
  describe(`ws against --deflate=${mode}`, () => {
    let server;
    before(async () => { server = await serve(`--deflate=${mode}`); });
    after(() => server.stop());

    for (const options of OPTIONS) {
      for (const threshold of [0, 1024]) {
        test(JSON.stringify({ ...options, threshold }), async () => {
          const perMessageDeflate = { ...options, threshold };
          const { socket, next } = await open(`ws://${server.host}/echo`, { perMessageDeflate });
          assert.equal(socket.extensions, 'permessage-deflate');
          for (const message of MESSAGES) {
            socket.send(message);
            assert.deepEqual(await next(), message);
          }
          for (const message of MESSAGES) {
            sendFragments(socket, message);
            assert.deepEqual(await next(), message);
          }
          const closed = once(socket, 'close');
          socket.close(1000);
          assert.equal((await within(closed, 'the close'))[0], 1000);
          // And back in fragments.
          const other = await open(`ws://${server.host}/echo?frame=5000`, { perMessageDeflate });
          for (const message of MESSAGES) {
            other.socket.send(message);
            assert.deepEqual(await other.next(), message);
          }
          other.socket.terminate();
        });
      }
    }
  });
}

test('an offer is declined where compression is off', async () => {
  const server = await serve('--deflate=off');
  try {
    const { socket, next } = await open(`ws://${server.host}/echo`, { perMessageDeflate: true });
    assert.equal(socket.extensions, '');
    socket.send(records(5000));
    assert.equal(await next(), records(5000));
    socket.terminate();
  } finally {
    await server.stop();
  }
});

describe('our client against a server of ws', () => {
  const spoken = MESSAGES.filter((message) => typeof message !== 'string');
  // The last one is long enough to go out in fragments.
  const texts = [...MESSAGES.filter((message) => typeof message === 'string'), records(5 << 19, 4)];
  const lines = texts.map((message) => message + '\n').join('');

  for (const options of OPTIONS) {
    for (const threshold of [0, 1024]) {
      test(JSON.stringify({ ...options, threshold }), async () => {
        const perMessageDeflate = { ...options, threshold };
        // That is no demand that a server may make of a client which offers less.
        const server = new WebSocket.Server({ host: '127.0.0.1', port: 0, perMessageDeflate });
        await within(once(server, 'listening'), 'the server listens');
        const extensions = [];
        server.on('connection', (socket, request) => {
          extensions.push(socket.extensions);
          if (request.url === '/speak') {
            for (const message of spoken) {
              socket.send(message);
              sendFragments(socket, message);
            }
            socket.close(1000);
            return;
          }
          let count = 0;
          socket.on('message', (data, binary) => {
            if (count++ % 2) socket.send(data, { binary });
            // A character may be cut in two here.
            else sendFragments(socket, data, binary);
          });
        });
        try {
          const url = `ws://127.0.0.1:${server.address().port}/`;
          const { status, out, err } = await connect([url, '--count', `${texts.length}`], lines);
          assert.deepEqual([status, err], [0, '']);
          assert.equal(out.toString(), lines);
          const data = Buffer.concat([randomBytes(50_000), Buffer.alloc(1 << 20)]);
          const binary = await connect([url, '--binary'], data);
          assert.ok(binary.out.equals(data));
          const heard = await connect([`${url}speak`, '--binary'], null);
          assert.ok(heard.out.equals(Buffer.concat(spoken.flatMap((message) => [message, message]))));
          const plain = await connect([url, '--count', '1', '--no-deflate'], 'x\n');
          assert.equal(plain.out.toString(), 'x\n');
          assert.deepEqual(extensions, [...Array(3).fill('permessage-deflate'), '']);
        } finally {
          for (const socket of server.clients) socket.terminate();
          server.close();
        }
      });
    }
  }
});
