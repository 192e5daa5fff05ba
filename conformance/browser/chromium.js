'use strict';
// The browser, as both suites start it.

const { chromium } = require('playwright-core');

const SOON = 15_000;

const ARGUMENTS = [
  '--no-sandbox', // Chromium refuses to run as root with its sandbox, as in a container
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
  // A machine without the internet: no calls home that would be refused, many at a time.
  '--disable-background-networking', '--disable-component-update',
];

function launch() {
  const executablePath = process.env.CHROMIUM;
  if (!executablePath) throw new Error('CHROMIUM is not set: `cargo xtask browser` sets it');
  return chromium.launch({ executablePath, headless: true, args: ARGUMENTS });
}

module.exports = { SOON, launch };
