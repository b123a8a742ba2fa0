#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>

namespace levin {

/// The options of `levin serve MODEL...`, where MODEL is NAME=PATH, or PATH alone. PATH is a
/// checkpoint, or a folder in which new checkpoints appear.
struct ServeOptions {
  std::string host = "127.0.0.1";
  int64_t port = 8000;
  int64_t batch = 64;
  double delay = 0.0;
  std::string memory = "1GB";
  int64_t queue = 0;
  double timeout = 30.0;
  bool reload = true;
  std::string device = "cpu";
  int64_t threads = 0;
  int64_t model_threads = 1;
  int64_t max_connections = 1024;
  std::string max_body = "64MiB";
  double read_timeout = 30.0;
  double idle_timeout = 60.0;
  double drain_timeout = 30.0;
  std::string token_file{};
  std::string tls_certificate{};
  std::string tls_key{};
  std::string redis{};
  std::string role = "both";
  double result_expiry = 60.0;
};

Fields describe(ServeOptions& o);

}  // namespace levin
