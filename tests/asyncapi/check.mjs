import { Parser, fromFile } from '@asyncapi/parser';
const parser = new Parser();
const { document, diagnostics } = await fromFile(parser, process.argv[2]).parse();
for (const d of diagnostics) console.log(d.severity, d.code, d.path.join('.'), d.message);
console.log(document ? `valid: ${document.version()} ${document.channels().all().length} channel(s), ${document.allMessages().all().length} messages` : 'INVALID');
process.exit(document && !diagnostics.some(d => d.severity === 0) ? 0 : 1);
