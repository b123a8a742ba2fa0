#include <levin/serving/http/http_server.h>

#include <limits>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/serving/http/http_listener.h>
#include <levin/serving/http/http_shared.h>
#include <levin/serving/http/http_worker.h>
#include <levin/serving/http/tls_context.h>

namespace levin {

void validate(const HttpOptions& options) {
  const auto at_least = [](std::string_view name, int64_t value, int64_t least) {
    if (value >= least) return;
    throw ConfigError::invalid_value(name, std::to_string(value),
                                     fmt::format("must be at least {}", least));
  };
  const auto positive = [](std::string_view name, double value) {
    if (value > 0 && value <= 1e6) return;
    throw ConfigError::invalid_value(name, fmt::format("{}", value),
                                     "must be a number of seconds, above 0 and at most 1000000");
  };
  if (options.port < 0 || options.port > 65535) {
    throw ConfigError::invalid_value("port", std::to_string(options.port),
                                     "must be from 0 (any that is free) to 65535");
  }
  at_least("threads", options.threads, 1);
  at_least("max_connections", options.max_connections, 1);
  at_least("max_body", options.max_body, 0);
  at_least("memory", options.memory, 1);
  at_least("max_header", options.max_header, 256);
  if (options.max_header > int64_t{1} << 30) {
    throw ConfigError::invalid_value("max_header", std::to_string(options.max_header),
                                     "must be at most 1073741824");
  }
  positive("read_timeout", options.read_timeout);
  positive("write_timeout", options.write_timeout);
  positive("idle_timeout", options.idle_timeout);
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    throw ConfigError::conflict("only one of tls_certificate and tls_key is given",
                                "give both for TLS, or none");
  }
}

class HttpServer::Implementation {
 public:
  Implementation(HttpOptions options, HttpHandler handler)
      : shared_(std::move(options), std::move(handler)) {
    const auto& given = shared_.options;
    if (!given.tls_certificate.empty())
      tls_ = make_tls_context(given.tls_certificate, given.tls_key);
    for (int64_t i = 0; i < given.threads; ++i) {
      workers_.push_back(std::make_unique<HttpWorker>(shared_, tls_.get()));
    }
    listener_ = std::make_unique<HttpListener>(given, workers_);
    listener_->start();
    for (const auto& worker : workers_) worker->start();
  }

  ~Implementation() {
    for (const auto& worker : workers_) worker->stop();
    listener_.reset();
  }

  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  int64_t port() const { return listener_->port(); }
  int64_t connections() const { return shared_.open; }

  bool drain(double seconds) {
    const auto end = HttpClock::now() + http_seconds(seconds);
    shared_.draining = true;
    listener_->stop();
    for (const auto& worker : workers_) worker->drain();
    return shared_.wait_until_quiet(end);
  }

 private:
  HttpShared shared_;
  std::unique_ptr<boost::asio::ssl::context> tls_{};
  std::vector<std::unique_ptr<HttpWorker>> workers_{};
  std::unique_ptr<HttpListener> listener_{};
};

HttpServer::HttpServer(HttpOptions options, HttpHandler handler) {
  validate(options);
  implementation_ = std::make_unique<Implementation>(std::move(options), std::move(handler));
}

HttpServer::~HttpServer() = default;

int64_t HttpServer::port() const { return implementation_->port(); }

int64_t HttpServer::connections() const { return implementation_->connections(); }

bool HttpServer::drain(double seconds) { return implementation_->drain(seconds); }

}  // namespace levin
