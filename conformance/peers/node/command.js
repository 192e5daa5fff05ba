'use strict';
// The command under test, started on a port of the kernel's choice and ended by its own handle.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const readline = require('node:readline');

const SOON = 10_000; // milliseconds within which anything has to happen

function binary() {
  const path = process.env.SOCKEYE_BIN;
  if (!path) throw new Error('SOCKEYE_BIN is not set: `cargo xtask test peers` sets it');
  return path;
}

/** A file of the certificates that `cargo xtask` makes for the tests. */
function certificate(name) {
  const folder = process.env.CERTIFICATES;
  if (!folder) throw new Error('CERTIFICATES is not set: `cargo xtask test peers` sets it');
  return path.join(folder, name);
}

/** Options of `sockeye serve` for TLS with this backend. */
function secured(backend) {
  return ['--tls-backend', backend, '--tls-cert', certificate('server.pem'), '--tls-key', certificate('server.key')];
}

/** What `promise` comes to, or an error that says what did not happen in time. */
function within(promise, what, milliseconds = SOON) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${milliseconds} ms: ${what}`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Starts `sockeye serve`; `stop` ends it and fails unless it ended well. */
async function serve(...args) {
  const listen = args.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
  const child = spawn(binary(), ['serve', ...listen, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = readline.createInterface({ input: child.stdout });
  const announced = once(lines, 'line').then(([line]) => line);
  const line = await within(Promise.race([announced, exited.then(() => 'ended')]), 'the server listens');
  const address = /^listening on http(s?):\/\/(.*)\/$/.exec(line);
  if (!address) throw new Error(`the server said: ${line}`);
  const [, s, host] = address;
  return {
    host,
    port: Number(host.split(':').pop()),
    http: (path) => `http${s}://${host}${path}`,
    ws: (path) => `ws${s}://${host}${path}`,
    async stop() {
      child.kill('SIGTERM');
      try {
        const [code, signal] = await within(exited, 'the server ends');
        if (code !== 0) throw new Error(`the server ended with ${code ?? signal}`);
      } finally {
        child.kill('SIGKILL');
      }
    },
  };
}

/** Runs `sockeye connect` to its end; without an input (null) it is for the server to end it. */
async function connect(args, input = '') {
  const child = spawn(binary(), ['connect', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  const out = [], err = [];
  child.stdout.on('data', (data) => out.push(data));
  child.stderr.on('data', (data) => err.push(data));
  child.stdin.on('error', () => {}); // it may end before it has read everything
  if (input !== null) child.stdin.end(input);
  try {
    const [status] = await within(once(child, 'close'), 'the client ends', 3 * SOON);
    return { status, out: Buffer.concat(out), err: Buffer.concat(err).toString() };
  } finally {
    child.kill('SIGKILL');
  }
}

module.exports = { SOON, binary, certificate, connect, secured, serve, within };
