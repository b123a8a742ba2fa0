#include <levin/serving/commands/serve.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/arguments.h>
#include <levin/cli/exit_status.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/loops/stop_signal.h>
#include <levin/serving/commands/serve_options.h>
#include <levin/serving/commands/serve_plan.h>
#include <levin/serving/http/http_server.h>
#include <levin/serving/load/http_address.h>
#include <levin/serving/models/local_backend.h>
#include <levin/serving/redis/redis_backend.h>
#include <levin/serving/service/service.h>

namespace levin {
namespace {

constexpr const char* kServeNotes = R"(
MODEL is NAME=PATH, or PATH alone; without a name, the class of the model is its name. PATH is a
checkpoint, "best" or "last" for that of the newest run, or a folder: a run's, whose newest
checkpoint counts, or one of folders 1, 2, 3 ..., which are the versions of the model.

  levin serve last
  levin serve digits=levin_logs/version_3 irises=iris.ckpt --port 8080 --batch 32 --delay 2

The page at http://HOST:PORT/ tries the models by hand, and /openapi.json describes all addresses.
SIGTERM or Ctrl-C ends the service when it has answered what has begun; a second one ends it at
once.
)";

/// Waits until a signal asks the process to end.
void wait_for_stop() {
  while (!StopSignal::received()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

std::string with_commas(int64_t number) {
  std::string text = fmt::format("{}", number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

/// One line for each model: what it is called, and how many of its rows may wait.
std::string list_of_models(const Backend& backend, int64_t memory) {
  std::string text;
  for (const auto& model : backend.models()) {
    text += fmt::format("  {}, version {}", model.name, model.version);
    if (memory > 0 && model.bytes_per_row > 0) {
      text += fmt::format(": {} bytes a row, so {} rows may wait", with_commas(model.bytes_per_row),
                          with_commas(memory / model.bytes_per_row));
    }
    text += '\n';
  }
  return text;
}

/// Throws ConfigError if not one row of a model fits into the memory, since all of its requests
/// would be refused.
void require_room(const Backend& backend, int64_t memory) {
  for (const auto& model : backend.models()) {
    if (model.bytes_per_row <= memory) continue;
    throw ConfigError::invalid_value(
        "memory", fmt::format("{} bytes", with_commas(memory)),
        fmt::format("must hold at least one row of model '{}', which takes {} bytes", model.name,
                    with_commas(model.bytes_per_row)));
  }
}

/// The address of Redis without the password that it may contain.
std::string shown(const std::string& url) {
  const size_t at = url.rfind('@');
  return at == std::string::npos ? url : "redis://" + url.substr(at + 1);
}

/// Listens. What a user can't mend on the command line alone, such as a port that is taken, isn't a
/// ConfigError.
std::unique_ptr<HttpServer> listen(const HttpOptions& options, HttpHandler handler) {
  try {
    return std::make_unique<HttpServer>(options, std::move(handler));
  } catch (const ConfigError& error) {
    throw Error(error.what());
  }
}

/// Ends a service in order: no connection is taken any longer, what has begun is answered.
int drain_service(HttpServer* server, Backend& backend, double seconds) {
  diagnostics::print("levin serve: ending; what has begun is answered\n");
  const bool all = server == nullptr || server->drain(seconds);
  backend.drain();
  if (all) return kDone;
  diagnostics::print(
      fmt::format("levin serve: some requests weren't answered within {} seconds\n", seconds));
  return kFailed;
}

}  // namespace

int serve(const Arguments& arguments, const Registry& registry) {
  ServeOptions options;
  set_options(describe(options), arguments);
  ServePlan plan = plan_service(options, arguments.words);
  std::vector<std::string> given;
  for (const auto& [name, value] : arguments.settings) given.push_back(name);
  for (auto& sentence : unused_options(plan, given)) plan.warnings.push_back(std::move(sentence));
  for (const auto& warning : plan.warnings) {
    diagnostics::print(fmt::format("warning: {}\n", warning));
  }
  const StopSignal signal;
  std::unique_ptr<LocalBackend> models;
  if (plan.has_models) {
    models = std::make_unique<LocalBackend>(registry, plan.sources, plan.models);
    require_room(*models, plan.models.memory);
  }
  std::unique_ptr<RedisBackend> front;
  std::optional<RedisWorker> worker;
  if (plan.uses_redis && plan.answers_http) front = std::make_unique<RedisBackend>(plan.redis);
  if (plan.uses_redis && models) worker.emplace(plan.redis, *models, plan.models.max_batch);
  Backend& backend = front ? static_cast<Backend&>(*front) : *models;

  std::unique_ptr<HttpServer> server;
  std::string where = fmt::format("takes requests from {}", shown(plan.redis.url));
  if (plan.answers_http) {
    server = listen(plan.http, service(backend, plan.http.memory));
    const HttpAddress address{.is_tls = !plan.http.tls_certificate.empty(),
                              .host = plan.http.host,
                              .port = server->port()};
    where = fmt::format("listening on {}", address.origin());
  }
  const std::string list = models ? list_of_models(*models, plan.models.memory) : std::string();
  diagnostics::print(fmt::format("levin serve: {}; Ctrl-C or SIGTERM ends it\n{}", where, list));
  wait_for_stop();
  // With a front end here, its requests need the worker until they are answered; without one,
  // models that refused requests would answer with 503 what the worker has taken.
  if (!server) worker.reset();
  const int status = drain_service(server.get(), backend, plan.drain_timeout);
  worker.reset();
  return status;
}

Command serve_command() {
  return {.name = "serve",
          .usage = "MODEL... [--port 8000] [--batch 64] [--delay 0] ...",
          .help = "answer requests over HTTP with trained models",
          .run = serve,
          .with_options = options_of<ServeOptions>(),
          .notes = kServeNotes};
}

}  // namespace levin
