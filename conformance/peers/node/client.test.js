'use strict';
// `sockeye connect` and `sockeye ping` against a server of npm's `ws`: plain, and with both backends of TLS.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { describe, test } = require('node:test');
const { promisify } = require('node:util');
const { WebSocketServer } = require('ws');
const { SOON, binary, certificate, connect, within } = require('./command');

const trusting = (backend) => ['--ca', certificate('root.pem'), '--tls-backend', backend];

/** How our client gets there: its options, unless it is plain. */
const WAYS = { plain: null, rustls: trusting('rustls'), OpenSSL: trusting('openssl') };

/** A server for one test; `talk` gets each connection. */
async function withServer(secure, options, talk, body) {
  const own = { cert: fs.readFileSync(certificate('server.pem')), key: fs.readFileSync(certificate('server.key')) };
  const web = secure ? https.createServer(own) : http.createServer();
  const server = new WebSocketServer({ server: web, maxPayload: 64 << 20, ...options });
  server.on('connection', talk);
  web.listen(0, '127.0.0.1');
  await within(once(web, 'listening'), 'the server listens');
  try {
    await body(`ws${secure ? 's' : ''}://127.0.0.1:${web.address().port}`);
  } finally {
    for (const socket of server.clients) socket.terminate();
    server.close();
    web.close();
  }
}

function echo(socket) {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
}

for (const [name, options] of Object.entries(WAYS)) {
  describe(`our client and ws, ${name}`, () => {
    const [secure, trust] = [options !== null, options ?? []];

    for (const size of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
      test(`a line of ${size} bytes and its echo`, async () => {
        await withServer(secure, {}, echo, async (url) => {
          const line = 'z'.repeat(size) + '\n';
          const { status, out, err } = await connect([url, ...trust, '--count', '1'], line);
          assert.deepEqual([status, err], [0, '']);
          assert.equal(out.toString(), line);
        });
      });
    }

    test('many lines, closed with 1000 at the end of input', async () => {
      const lines = Array.from({ length: 5000 }, (_, number) => `line ${number}\n`).join('');
      let closed;
      await withServer(secure, {}, (socket) => { echo(socket); closed = once(socket, 'close'); }, async (url) => {
        const { status, out, err } = await connect([url, ...trust], lines);
        assert.deepEqual([status, err], [0, '']);
        assert.equal(out.toString(), lines);
        const [code] = await within(closed, 'the close');
        assert.equal(code, 1000);
      });
    });

    test('fragments and pings of the server', async () => {
      await withServer(secure, {}, (socket) => {
        socket.ping('first');
        socket.once('pong', (data) => {
          assert.equal(data.toString(), 'first');
          socket.send('in ', { fin: false });
          socket.ping('between');
          socket.send('pieces', { fin: true });
          socket.close(1000, 'done');
        });
      }, async (url) => {
        const { status, out, err } = await connect([url, ...trust, '--wait']);
        assert.deepEqual([status, err, out.toString()], [0, '', 'in pieces\n']);
      });
    });

    test('binary messages as raw bytes', async () => {
      const data = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 256));
      await withServer(secure, {}, (socket) => { socket.send(data); socket.close(1000); }, async (url) => {
        const { status, out } = await connect([url, ...trust, '--binary', '--wait']);
        assert.equal(status, 0);
        assert.ok(out.equals(data));
      });
    });

    test('the subprotocol is chosen by the server', async () => {
      let protocol;
      await withServer(secure, { handleProtocols: () => 'b' }, (socket) => { protocol = socket.protocol; echo(socket); }, async (url) => {
        const { status } = await connect([url, ...trust, '--subprotocol', 'a', '--subprotocol', 'b', '--count', '1'], 'x\n');
        assert.deepEqual([status, protocol], [0, 'b']);
      });
    });

    test('a refusal, and a server that breaks off, are failures of one line', async () => {
      await withServer(secure, { verifyClient: () => false }, echo, async (url) => {
        const { status, err } = await connect([url, ...trust], 'x\n');
        assert.equal(status, 1);
        assert.match(err, /^[^\n]*401[^\n]*\n$/);
      });
      await withServer(secure, {}, (socket) => socket.terminate(), async (url) => {
        const { status, err } = await connect([url, ...trust, '--wait']);
        assert.equal(status, 1);
        assert.match(err, /^[^\n]+\n$/);
      });
    });

    test('ping', async () => {
      await withServer(secure, {}, () => {}, async (url) => {
        const { stdout } = await promisify(execFile)(binary(), ['ping', url, ...trust, '-c', '3', '-i', '0.05'], { timeout: SOON });
        assert.match(stdout, /3 \w+ transmitted, 3 (\w+ )?received, 0(\.0*)?% /);
        assert.match(stdout, /rtt min\/avg\/max\/mdev = [\d.]+\/[\d.]+\/[\d.]+\/[\d.]+ ms/);
      });
    });
  });
}
