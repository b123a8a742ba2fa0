#include <levin/framework/averaging/local_sgd.h>

#include <string>

#include <levin/framework/core/error.h>

namespace levin {

Fields describe(LocalSgdOptions& o) {
  return fields_of<LocalSgdOptions>(
      {{"period", &o.period, "steps from one meeting of the ranks to the next"},
       {"flags_every", &o.flags_every, "steps after which ranks tell of signals, at the latest"}});
}

Fields describe(PostLocalSgdOptions& o) {
  return fields_of<PostLocalSgdOptions>(
      {{"start", &o.start, "steps at the beginning in which gradients are summed"},
       {"period", &o.period, "steps from one meeting of the ranks to the next"},
       {"flags_every", &o.flags_every, "steps after which ranks tell of signals, at the latest"}});
}

LocalSgd::LocalSgd(LocalSgdOptions options) : ModelAveraging(options.period, options.flags_every) {}

PostLocalSgd::PostLocalSgd(PostLocalSgdOptions options)
    : ModelAveraging(options.period, options.flags_every), start_(options.start) {
  if (start_ >= 0) return;
  throw ConfigError::invalid_value("start", std::to_string(start_), "must be at least 0");
}

}  // namespace levin
