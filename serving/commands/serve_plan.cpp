#include <levin/serving/commands/serve_plan.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include <levin/cli/find_checkpoint.h>
#include <levin/framework/core/cores.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>
#include <levin/serving/commands/token_file.h>

namespace levin {
namespace {

/// More threads by themselves would rarely make answers faster: the model is asked by one.
constexpr int64_t kMostThreads = 4;

void require_seconds(std::string_view option, double value, bool may_be_zero = false) {
  if (std::isfinite(value) && (value > 0.0 || (may_be_zero && value == 0.0))) return;
  throw ConfigError::invalid_value(option, fmt::format("{}", value),
                                   may_be_zero ? "must be 0 or more" : "must be more than 0");
}

/// Without the brackets that an IPv6 address has in a URL.
std::string bare_host(const std::string& host) {
  const bool has_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  return has_brackets ? host.substr(1, host.size() - 2) : host;
}

std::string read_token(const std::string& given, std::vector<std::string>& warnings) {
  const std::string path = expand_home(given, "token_file");
  std::string token = read_token_file(path);
  // A file of somebody else, such as a secret of Kubernetes, is given to this process by its group.
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return token;
  const mode_t others = status.st_uid == ::geteuid() ? S_IRGRP | S_IROTH : S_IROTH;
  if ((status.st_mode & others) != 0) {
    warnings.push_back(
        fmt::format("other users of this machine can read the token file {}; chmod 600 {} "
                    "prevents that",
                    path, path));
  }
  return token;
}

HttpOptions http_options(const ServeOptions& o, std::vector<std::string>& warnings) {
  HttpOptions http;
  if (o.host.empty()) {  // which would be all addresses
    throw ConfigError::invalid_value("host", "''",
                                     "must be an address of this machine, such as 127.0.0.1, or "
                                     "0.0.0.0 for all of them");
  }
  http.host = bare_host(o.host);
  http.port = o.port;
  if (o.threads < 0) {
    throw ConfigError::invalid_value("threads", fmt::format("{}", o.threads),
                                     "must be 0 (one for each core, at most 4) or more");
  }
  http.threads = o.threads != 0 ? o.threads : std::min(usable_cores(), kMostThreads);
  http.max_connections = o.max_connections;
  http.max_body = parse_bytes(o.max_body, "max_body");
  // Also a service for which few rows may wait reads a request.
  http.memory = std::max(parse_bytes(o.memory, "memory"), int64_t{64} << 20);
  http.read_timeout = o.read_timeout;
  http.idle_timeout = o.idle_timeout;
  http.tls_certificate = expand_home(o.tls_certificate, "tls_certificate");
  http.tls_key = expand_home(o.tls_key, "tls_key");
  validate(http);
  if (!o.token_file.empty()) http.token = read_token(o.token_file, warnings);
  // The page asks for the token; orchestrators ask for the health without one.
  http.open_paths = {"/", "/page.css", "/page.js", "/v2/health/live", "/v2/health/ready"};
  if (is_loopback(http.host)) return http;
  if (http.token.empty()) {
    warnings.push_back(
        fmt::format("everybody who can reach {} can use these models, and load and unload them; "
                    "--token-file asks for a token",
                    http.host));
  } else if (http.tls_certificate.empty()) {
    warnings.push_back(
        "the token and the data travel unencrypted; --tls-certificate and --tls-key encrypt them");
  }
  return http;
}

LocalBackendOptions model_options(const ServeOptions& o) {
  LocalBackendOptions models;
  models.max_batch = o.batch;
  models.delay_ms = o.delay;
  models.memory = parse_bytes(o.memory, "memory");
  models.max_queue = o.queue;
  models.timeout = o.timeout;
  models.reload = o.reload;
  models.device = o.device;
  models.threads = o.model_threads;
  validate(models);
  if (o.delay >= o.timeout * 1000.0) {
    throw ConfigError::invalid_value(
        "delay", fmt::format("{}", o.delay),
        fmt::format("is in milliseconds, and must be shorter than the timeout of {} seconds, after "
                    "which a request that waits is refused",
                    o.timeout));
  }
  return models;
}

}  // namespace

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "::1") return true;
  in_addr address{};
  const bool is_ipv4 = ::inet_pton(AF_INET, std::string(host).c_str(), &address) == 1;
  return is_ipv4 && host.starts_with("127.");  // 127.example.org is a name
}

int64_t parse_bytes(std::string_view text, std::string_view name) {
  double number = 0.0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(end.ptr, static_cast<size_t>(text.data() + text.size() - end.ptr));
  unit.erase(0, std::min(unit.find_first_not_of(' '), unit.size()));
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  constexpr std::array<std::pair<std::string_view, double>, 10> kUnits = {{{"", 1.0},
                                                                           {"B", 1.0},
                                                                           {"KB", 1e3},
                                                                           {"MB", 1e6},
                                                                           {"GB", 1e9},
                                                                           {"TB", 1e12},
                                                                           {"KIB", 0x1p10},
                                                                           {"MIB", 0x1p20},
                                                                           {"GIB", 0x1p30},
                                                                           {"TIB", 0x1p40}}};
  for (const auto& known : kUnits) {
    if (end.ec != std::errc() || unit != known.first) continue;
    const double bytes = number * known.second;
    if (bytes >= 1.0 && bytes <= 0x1p60) return static_cast<int64_t>(bytes);
  }
  throw ConfigError::invalid_value(
      name, text, "must be a number of bytes above 0, such as 64MB, 1.5GB or 2GiB");
}

ModelSource model_source(const std::string& word) {
  ModelSource source;
  std::string path = word;
  const size_t equals = word.find('=');
  std::error_code ignored;
  if (equals != std::string::npos && word.find('/') > equals &&
      !std::filesystem::exists(word, ignored)) {
    source.name = word.substr(0, equals);
    path = word.substr(equals + 1);
    const bool has_control = std::any_of(source.name.begin(), source.name.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    if (source.name.empty() || source.name == "stats" || has_control || source.name.size() > 256) {
      throw ConfigError(fmt::format(
          "'{}' can't be a model's name in NAME=PATH: it must have 1 to 256 bytes without control "
          "characters, and not be 'stats'",
          source.name));
    }
  }
  if (path.empty()) {
    throw ConfigError(fmt::format(
        "'{}' names no checkpoint; a model is given as NAME=PATH, or PATH alone", word));
  }
  if (path == "best" || path == "last") path = find_checkpoint(path, {});
  source.path = expand_home(path, "model");
  return source;
}

std::vector<std::string> unused_options(const ServePlan& plan,
                                        const std::vector<std::string>& names) {
  struct Group {
    bool is_used;
    std::string_view why_not;
    std::vector<std::string_view> options;
  };
  const std::array<Group, 3> groups = {{
      {plan.answers_http,
       "with --role model nothing listens",
       {"host", "port", "threads", "max_connections", "max_body", "read_timeout", "idle_timeout",
        "drain_timeout", "token_file", "tls_certificate", "tls_key"}},
      {plan.has_models,
       "with --role front the models are those of other processes",
       {"batch", "delay", "reload", "device", "model_threads"}},
      {plan.uses_redis, "there is no --redis", {"result_expiry"}},
  }};
  std::vector<std::string> sentences;
  for (const auto& name : names) {
    for (const auto& group : groups) {
      const auto& own = group.options;
      if (group.is_used || std::find(own.begin(), own.end(), name) == own.end()) continue;
      std::string option = name;
      std::replace(option.begin(), option.end(), '_', '-');
      sentences.push_back(fmt::format("--{} has no effect: {}", option, group.why_not));
    }
  }
  return sentences;
}

ServePlan plan_service(const ServeOptions& o, const std::vector<std::string>& words) {
  ServePlan plan;
  if (o.role != "front" && o.role != "model" && o.role != "both") {
    throw ConfigError::invalid_value("role", o.role, "must be front, model or both");
  }
  plan.uses_redis = !o.redis.empty();
  plan.answers_http = o.role != "model";
  plan.has_models = o.role != "front";
  if (!plan.uses_redis && o.role != "both") {
    throw ConfigError::conflict(fmt::format("--role {} needs Redis", o.role),
                                "give --redis redis://HOST:PORT/DB, too");
  }
  if (plan.has_models && words.empty()) {
    throw ConfigError(
        "serve takes a model, NAME=PATH or PATH, where PATH is a checkpoint or a folder of them");
  }
  if (!plan.has_models && !words.empty()) {
    throw ConfigError::conflict(
        fmt::format("--role front has no models of its own, but '{}' was given", words.front()),
        "give models to the processes with --role model");
  }
  require_seconds("drain_timeout", o.drain_timeout, true);
  require_seconds("result_expiry", o.result_expiry);
  plan.drain_timeout = o.drain_timeout;
  plan.models = model_options(o);
  if (plan.answers_http) plan.http = http_options(o, plan.warnings);
  if (plan.answers_http && plan.http.threads >= usable_cores()) {
    plan.models.quick_requests = static_cast<size_t>(o.batch);  // no core is left for a batch alone
  }
  plan.redis.url = o.redis;
  plan.redis.result_expiry = o.result_expiry;
  plan.redis.timeout = o.timeout;
  plan.redis.memory = plan.models.memory;
  if (o.queue > 0) plan.redis.max_queue = o.queue;
  for (const auto& word : words) plan.sources.push_back(model_source(word));
  return plan;
}

}  // namespace levin
