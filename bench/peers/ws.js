// npm ws, over Node's own TLS.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { parseArgs } = require('node:util');
const { WebSocket, WebSocketServer } = require('ws');

const { values, positionals } = parseArgs({
  options: { tls: { type: 'string' }, deflate: { type: 'string' } },
  allowPositionals: true,
});
// `--tls CHAIN KEY`
const server = values.tls
  ? https.createServer({ cert: fs.readFileSync(values.tls), key: fs.readFileSync(positionals[0]) })
  : http.createServer();
const perMessageDeflate = {
  pooled: { serverNoContextTakeover: true, clientNoContextTakeover: true },
  takeover: true,
}[values.deflate] ?? false;

const everybody = new Set();

new WebSocketServer({ server, perMessageDeflate }).on('connection', (socket, request) => {
  if (request.url === '/broadcast') {
    everybody.add(socket);
    socket.on('close', () => everybody.delete(socket));
    socket.on('message', (data, binary) => {
      for (const other of everybody) if (other.readyState === WebSocket.OPEN) other.send(data, { binary });
    });
  } else {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  }
  // A client that goes away is no news.
  socket.on('error', () => {});
});

server.listen(0, '127.0.0.1', () => {
  const { version } = require('ws/package.json');
  const openssl = values.tls ? `, OpenSSL ${process.versions.openssl}` : '';
  console.log(`listening ${server.address().port} ws ${version}, Node ${process.version}${openssl}`);
});
