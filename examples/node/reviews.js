// Reviews of a shop's items, in Node: OpenTelemetry's SDK as its documentation sets it up, and nothing of Tracelift.
//
// PORT       where to listen on 127.0.0.1
// OUTBOUND   the sidecar's listener for calls, as http://host:port
// OTEL_*     as the SDK reads them: exporter, batches, service name
'use strict';

const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');

// Its sampler is the SDK's own: the caller's decision, else all.
new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] }).register();
const isProbe = (request) => request.url === '/healthz';
registerInstrumentations({ instrumentations: [new HttpInstrumentation({ ignoreIncomingRequestHook: isProbe })] });

const http = require('node:http');

const outbound = new URL(process.env.OUTBOUND);

/** Status of another service's answer; it is called by its name, through the sidecar. */
function call(host, path) {
  return new Promise((resolve, reject) => {
    const options = { host: outbound.hostname, port: outbound.port, path, headers: { host } };
    const request = http.get(options, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode));
    });
    request.on('error', reject);
  });
}

async function answer(request) {
  const [, operation, item] = request.url.split('/');
  if (operation === 'healthz') return 200;
  if (operation === 'reviews') {
    await call('ratings', `/ratings/${item}`); // A page without the rating is a page.
    return 200;
  }
  if (operation === 'translations') return (await call('translator', `/translate/${item}`)) < 400 ? 200 : 502;
  return 404;
}

http
  .createServer(async (request, response) => {
    response.statusCode = await answer(request).catch(() => 500);
    response.end();
  })
  .listen(Number(process.env.PORT), '127.0.0.1');
