'use strict';
// The client of npm's `ws` against `sockeye serve`, on every driver and with both backends of TLS.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { once } = require('node:events');
const fs = require('node:fs');
const WebSocket = require('ws');
const { certificate, secured, serve, within } = require('./command');

const SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20];

const CA = fs.readFileSync(certificate('root.pem'));

const SERVERS = {
  'on epoll': ['--driver', 'epoll'],
  'on io_uring': ['--driver', 'uring'],
  'on poll': ['--driver', 'poll'],
  'with rustls': ['--driver', 'epoll', ...secured('rustls')],
  'with OpenSSL': ['--driver', 'uring', ...secured('openssl')],
};

/** A connection with its messages in order: `next` waits for one. */
async function open(url, protocols = [], options = {}) {
  const socket = new WebSocket(url, protocols, { ca: CA, ...options });
  const messages = [], waiting = [];
  socket.on('message', (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    const wanted = waiting.shift();
    if (wanted) wanted(message);
    else messages.push(message);
  });
  await within(once(socket, 'open'), `${url} opens`);
  return {
    socket,
    next: () => within(messages.length ? messages.shift() : new Promise((resolve) => waiting.push(resolve)), 'a message'),
    async close(code = 1000, reason = '') {
      const closed = once(socket, 'close');
      socket.close(code, reason);
      const [answer] = await within(closed, 'the close is answered');
      return answer;
    },
  };
}

for (const [name, args] of Object.entries(SERVERS)) {
  describe(`ws against the server ${name}`, () => {
    let server, url;
    before(async () => {
      server = await serve(...args);
      url = server.ws;
    });
    after(() => server.stop());

    for (const size of SIZES) {
      test(`echo of ${size} bytes, binary and text`, async () => {
        const peer = await open(url('/echo'));
        const bytes = Buffer.alloc(size, 'sockeye');
        peer.socket.send(bytes);
        assert.ok(bytes.equals(await peer.next()));
        peer.socket.send(bytes.toString());
        assert.equal(await peer.next(), bytes.toString());
        assert.equal(await peer.close(), 1000);
      });
    }

    test('fragments come back as one message', async () => {
      const peer = await open(url('/echo'));
      for (const part of ['one ', '', 'message']) peer.socket.send(part, { fin: false });
      peer.socket.send('!', { fin: true });
      assert.equal(await peer.next(), 'one message!');
      await peer.close();
    });

    test('ping and pong, both ways', async () => {
      const peer = await open(url('/echo'));
      const pong = once(peer.socket, 'pong');
      peer.socket.ping('are you there');
      const [data] = await within(pong, 'a pong');
      assert.equal(data.toString(), 'are you there');
      peer.socket.pong('not asked for');
      peer.socket.send('still open');
      assert.equal(await peer.next(), 'still open');
      await peer.close();
    });

    test('ten thousand messages in order', async () => {
      const peer = await open(url('/echo'));
      for (let number = 0; number < 10_000; number++) peer.socket.send(String(number));
      for (let number = 0; number < 10_000; number++) assert.equal(await peer.next(), String(number));
      await peer.close();
    });

    test('close codes', async () => {
      for (const code of [1000, 1001, 1011, 3000, 4999]) {
        const peer = await open(url('/echo'));
        assert.equal(await peer.close(code, 'because'), code);
      }
    });

    test('broadcast reaches all', async () => {
      const peers = await Promise.all([1, 2, 3].map(() => open(url('/broadcast'))));
      peers[0].socket.send('to all');
      for (const peer of peers) assert.equal(await peer.next(), 'to all');
      await Promise.all(peers.map((peer) => peer.close()));
    });

    test('increment and mirror by subprotocol', async () => {
      const counter = await open(url('/'), ['unknown', 'dumb-increment-protocol']);
      assert.equal(counter.socket.protocol, 'dumb-increment-protocol');
      const first = Number(await counter.next());
      assert.equal(Number(await counter.next()), first + 1);
      await counter.close();
      const mirror = await open(url('/'), 'lws-mirror-protocol');
      mirror.socket.send('d #0000ff 1 2 3 4;');
      assert.equal(await mirror.next(), 'd #0000ff 1 2 3 4;');
      await mirror.close();
    });

    test('a missing endpoint is a 404', async () => {
      const socket = new WebSocket(url('/no/such/path'), { ca: CA });
      socket.on('error', () => {});
      const [, response] = await within(once(socket, 'unexpected-response'), 'an answer');
      assert.equal(response.statusCode, 404);
      socket.terminate();
    });
  });
}
