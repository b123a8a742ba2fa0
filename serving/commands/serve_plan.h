#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/commands/serve_options.h>
#include <levin/serving/http/http_server.h>
#include <levin/serving/models/local_backend.h>
#include <levin/serving/redis/redis_backend.h>

namespace levin {

/// What one process of a service does.
struct ServePlan {
  bool answers_http = true;
  bool has_models = true;
  bool uses_redis = false;
  HttpOptions http{};
  LocalBackendOptions models{};
  RedisOptions redis{};
  std::vector<ModelSource> sources{};
  double drain_timeout = 30.0;
  /// What the operator should know, each a sentence.
  std::vector<std::string> warnings{};
};

/// Derives from the words and the options of `levin serve` what to do, and reads the token. Throws
/// ConfigError for options that don't fit together, values out of range, a missing model, and a
/// token file that can't be read.
ServePlan plan_service(const ServeOptions& options, const std::vector<std::string>& words);

/// Returns a sentence for each of the options, by their names, of which a process that does this
/// makes no use: those of the HTTP server where it answers none, for example.
std::vector<std::string> unused_options(const ServePlan& plan,
                                        const std::vector<std::string>& names);

/// Reads NAME=PATH, or PATH alone: a word that names a file, or has a slash before its first equals
/// sign, is a path, because names of checkpoints contain equals signs. The paths "best" and "last"
/// are those of the newest run, as for --ckpt-path. Throws ConfigError for an empty name or path,
/// and for a name that can't stand in an address.
ModelSource model_source(const std::string& word);

/// Reads a number of bytes: "512MB", "1.5 GiB", "4096". MB are 10^6 bytes and MiB are 2^20. `name`
/// is the option's. Throws ConfigError if it isn't one from 1 to 2^60.
int64_t parse_bytes(std::string_view text, std::string_view name);

/// Whether only this machine reaches a server that listens on `host`.
bool is_loopback(std::string_view host);

}  // namespace levin
