// npm ws, over Node's own TLS.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { WebSocketServer } = require('ws');

const [flag, chain, key] = process.argv.slice(2);
const tls = flag === '--tls';
const server = tls
  ? https.createServer({ cert: fs.readFileSync(chain), key: fs.readFileSync(key) })
  : http.createServer();

new WebSocketServer({ server }).on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  // A client that goes away is no news.
  socket.on('error', () => {});
});

server.listen(0, '127.0.0.1', () => {
  const { version } = require('ws/package.json');
  const openssl = tls ? `, OpenSSL ${process.versions.openssl}` : '';
  console.log(`listening ${server.address().port} ws ${version}, Node ${process.version}${openssl}`);
});
