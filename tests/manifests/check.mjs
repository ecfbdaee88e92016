// Reads documents of custom kinds as JSON from standard input, compares them with their published
// types, and prints problems as JSON.
//
// The compiler finds unknown fields, since object literals may have no others; the validators find
// wrong values.
import { readFileSync } from "node:fs";
import ts from "typescript";

const PACKAGES = {
  "keda.sh/v1alpha1": "@kubernetes-models/keda",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator",
};

const documents = JSON.parse(readFileSync(0, "utf8"));
const problems = [];
const lines = [];
for (const [index, document] of documents.entries()) {
  const place = `${document.kind} ${document.metadata.name}`;
  const module = `${PACKAGES[document.apiVersion]}/${document.apiVersion}/${document.kind}`;
  lines.push(`import type { I${document.kind} as T${index} } from "${module}"; const d${index}: T${index} = ${JSON.stringify(document)};`);
  try {
    const kinds = await import(module);
    new kinds[document.kind](document).validate();
  } catch (error) {
    problems.push(`${place}: ${error.message}`);
  }
}

const name = `${import.meta.dirname}/documents.ts`;
const options = { noEmit: true, strict: true, skipLibCheck: true, types: [], module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022 };
const host = ts.createCompilerHost(options);
const read = host.getSourceFile.bind(host);
host.getSourceFile = (file, ...rest) => (file === name ? ts.createSourceFile(file, lines.join("\n"), options.target) : read(file, ...rest));
for (const diagnostic of ts.getPreEmitDiagnostics(ts.createProgram([name], options, host))) {
  const line = diagnostic.file ? diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line : 0;
  const { kind, metadata } = documents[line];
  problems.push(`${kind} ${metadata.name}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, " ")}`);
}
console.log(JSON.stringify(problems));
