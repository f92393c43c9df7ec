// Reads lines of {tables, text}; writes a line of {errors, columns} for each.
const language = "@kusto/language-service-next";
require(`${language}/bridge.min.js`); // sets the global Bridge that the next one needs
require(`${language}/Kusto.Language.Bridge.min.js`);
const { createInterface } = require("node:readline");

const { KustoCode, GlobalState, Symbols } = Kusto.Language;

function elements(list) {
  return Array.from({ length: list.Count }, (_, index) => list.getItem(index));
}

function analyse({ tables, text }) {
  const schema = Object.entries(tables).map(([name, columns]) => new Symbols.TableSymbol.$ctor7(name, columns, null));
  const database = new Symbols.DatabaseSymbol.ctor("workspace", schema);
  const code = KustoCode.ParseAndAnalyze(text, GlobalState.Default.WithDatabase(database));
  const errors = elements(code.GetDiagnostics()).map((each) => `${each.Severity}: ${each.Message}`);
  const result = code.ResultType;
  const columns = result && result.Columns ? elements(result.Columns).map((each) => [each.Name, each.Type.Name]) : [];
  return { errors, columns };
}

createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(`${JSON.stringify(analyse(JSON.parse(line)))}\n`);
});
