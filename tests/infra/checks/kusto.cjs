// Reads [{name, text}] and the tables from stdin; writes [{name, errors, columns}].
const language = "@kusto/language-service-next";
require(`${language}/bridge.min.js`); // sets the global Bridge that the next one needs
require(`${language}/Kusto.Language.Bridge.min.js`);

const { KustoCode, GlobalState, Symbols } = Kusto.Language;
const { tables, queries } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const schema = Object.entries(tables).map(([name, columns]) => new Symbols.TableSymbol.$ctor7(name, columns, null));
const database = new Symbols.DatabaseSymbol.ctor("workspace", schema);
const globals = GlobalState.Default.WithDatabase(database);

function elements(list) {
  return Array.from({ length: list.Count }, (_, index) => list.getItem(index));
}

function analyse({ name, text }) {
  const code = KustoCode.ParseAndAnalyze(text, globals);
  const errors = elements(code.GetDiagnostics()).map((each) => `${each.Severity}: ${each.Message}`);
  const result = code.ResultType;
  const columns = result && result.Columns ? elements(result.Columns).map((each) => [each.Name, each.Type.Name]) : [];
  return { name, errors, columns };
}

process.stdout.write(JSON.stringify(queries.map(analyse)));
