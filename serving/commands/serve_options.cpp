#include <levin/serving/commands/serve_options.h>

namespace levin {

Fields describe(ServeOptions& o) {
  return fields_of<ServeOptions>({
      {"host", &o.host, "the address to listen on; 0.0.0.0: all of this machine"},
      {"port", &o.port, "0: any free port, which is printed"},
      {"batch", &o.batch, "the most rows that are predicted together"},
      {"delay", &o.delay, "milliseconds for which a request waits for others to share its batch"},
      {"memory", &o.memory, "memory for the inputs of requests that wait; more are refused (429)"},
      {"queue", &o.queue, "the most requests that wait; 0: as many as the memory holds"},
      {"timeout", &o.timeout, "seconds after which a request that still waits is refused (504)"},
      {"reload", &o.reload, "whether new checkpoints are loaded as they appear"},
      {"device", &o.device, "cpu, cuda or cuda:1"},
      {"threads", &o.threads,
       "threads that read requests and write answers; 0: one for each core, at most 4"},
      {"model_threads", &o.model_threads, "threads that one batch is computed with"},
      {"max_connections", &o.max_connections, "connections at a time; more are refused (503)"},
      {"max_body", &o.max_body, "the largest request"},
      {"read_timeout", &o.read_timeout, "seconds in which a request must have arrived"},
      {"idle_timeout", &o.idle_timeout, "seconds after which an unused connection is closed"},
      {"drain_timeout", &o.drain_timeout, "seconds for answering what has begun, after SIGTERM"},
      {"token_file", &o.token_file, "a file with a token that requests must bring"},
      {"tls_certificate", &o.tls_certificate,
       "a PEM file with certificates; with --tls-key: HTTPS"},
      {"tls_key", &o.tls_key, "a PEM file with the private key"},
      {"redis", &o.redis, "redis://HOST:PORT/DB: requests wait there instead of in this process"},
      {"role", &o.role, "with --redis: front (HTTP only), model (no HTTP) or both"},
      {"result_expiry", &o.result_expiry, "seconds for which Redis keeps an answer"},
  });
}

}  // namespace levin
