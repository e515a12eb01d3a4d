// Evaluates GoogleSQL with ZetaSQL's reference engine: JSON lines {"sql"} in, JSON lines {"rows"} or {"error"} out.
// argv: the folder that holds node_modules, a free port.
const path = require("path");
const { spawn } = require("child_process");
const [folder, port] = process.argv.slice(2);
const modules = path.join(folder, "node_modules");
const grpc = require(path.join(modules, "@grpc/grpc-js"));
const loader = require(path.join(modules, "@grpc/proto-loader"));
const lib = path.join(modules, "@fivetrandevelopers/zetasql/lib/zetasql");
const arm = process.arch.startsWith("arm") ? "_arm" : "";
const server = spawn(path.join(lib, `remote_server${arm}${process.platform === "darwin" ? "" : ".so"}`), ["localhost", port], { stdio: "ignore" });
const definition = loader.loadSync("local_service.proto", { oneofs: true, includeDirs: [path.join(lib, "protos")] });
const service = grpc.loadPackageDefinition(definition).zetasql.local_service.ZetaSqlLocalService;
const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
const api = new service(`localhost:${port}`, grpc.credentials.createInsecure(), unlimited);
const call = (method, request) =>
  new Promise((resolve, reject) => api[method](request, (error, answer) => (error ? reject(error) : resolve(answer))));
const plain = (cell) => {
  const value = Object.values(cell).find((each) => typeof each !== "string" || cell.stringValue === each);
  return cell.stringValue !== undefined ? cell.stringValue : value && value.low !== undefined ? Number(value) : null;
};

(async () => {
  await new Promise((resolve, reject) =>
    api.waitForReady(Date.now() + 60000, (error) => (error ? reject(error) : resolve())));
  const languageOptions = await call("getLanguageOptions", { maximumFeatures: true });
  const simpleCatalog = { name: "empty", builtinFunctionOptions: { languageOptions } };
  for (const line of require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean)) {
    try {
      const request = { sql: JSON.parse(line).sql, options: { languageOptions }, simpleCatalog };
      const answer = await call("evaluateQuery", request);
      const table = answer.content && answer.content.tableData;
      console.log(JSON.stringify({ rows: ((table && table.row) || []).map((row) => row.cell.map(plain)) }));
    } catch (error) {
      console.log(JSON.stringify({ error: error.message }));
    }
  }
  server.kill();
  process.exit(0);
})().catch((error) => {
  server.kill();
  console.error(String(error));
  process.exit(1);
});
