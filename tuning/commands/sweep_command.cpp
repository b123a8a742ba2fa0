#include <levin/tuning/commands/sweep_command.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include <levin/cli/arguments.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/stable_hash.h>
#include <levin/tuning/commands/planned_search.h>

namespace levin {
namespace {

constexpr const char* kSweepNotes = R"(
  levin sweep --config digits_mlp.yaml --model.hidden_sizes=[16],[32],[64] --data.batch_size=32,64
  levin fit --config digits_mlp.yaml --model.hidden_sizes=[16],[32],[64] --sweep

Settings that are given several values, with commas between them, make a grid, and every combination
is trained. The other settings change the configuration of all. Text with a comma is put in quotes:
--data.path='"a,b.csv"'. A sweep that was interrupted goes on when the same command is given again.
--metric NAME says what is best, by default val_loss. With --output FILE, the best configuration is
written as YAML.
)";

/// The options of `levin sweep`; the meanings are those of TuneOptions.
struct SweepOptions {
  std::vector<std::string> direction{};
  std::string study = "sweeps.log";
  std::string name{};
  int64_t workers = 1;
  std::vector<std::string> gpus{};
  double trial_timeout = 0.0;
  std::string value = "last";
};

Fields describe(SweepOptions& o) {
  return fields_of<SweepOptions>({
      {"direction", &o.direction, "min or max; by default as the metric's name says"},
      {"study", &o.study, "the study file, in Optuna's journal format"},
      {"name", &o.name, "the name of the sweep in the file; by default made from its settings"},
      {"workers", &o.workers, "processes that train side by side"},
      {"gpus", &o.gpus, "the GPUs of the workers, one for each in turn; by default all"},
      {"trial_timeout", &o.trial_timeout, "seconds after which a training is killed; 0: never"},
      {"value", &o.value, "the epoch that gives the metric's value: last or best"},
  });
}

Fields describe_sweep_command(SweepOptions& sweep, ReportFiles& report) {
  Fields fields = describe(sweep);
  for (auto& field : report_fields(report)) fields.push_back(std::move(field));
  return fields;
}

/// A name that the same sweep gets each time, so that it goes on, and another one doesn't.
std::string name_of_sweep(const ConfigNode& base, const Value& space) {
  const uint64_t hash = stable_hash(base.plain().to_json() + space.to_json());
  return fmt::format("sweep-{:08x}", hash >> 32U);
}

int run_sweep(Arguments arguments, const Registry& registry) {
  Value::Object ranges;
  std::vector<SearchParameter> parameters;
  std::vector<Override> overrides;
  for (const auto& [name, word] : take_configuration_settings(arguments)) {
    const auto values = values_of_sweep(word);
    if (values.size() < 2) {
      overrides.push_back({name, parse_argument(word), false});
      continue;
    }
    Value::Array choices;
    for (const auto& each : values) choices.push_back(parse_argument(each).plain());
    ranges[name] = choices;
    const auto place = [name = name](std::string_view, std::string_view) { return "--" + name; };
    const auto one = SearchSpace::from_value(Value::Object{{name, choices}}, place);
    parameters.push_back(one.parameters().front());
  }
  refuse_words(arguments);
  if (parameters.empty()) {
    throw ConfigError::conflict("no setting is given several values",
                                "give one, such as --model.learning_rate=0.01,0.1");
  }
  SweepOptions sweep;
  ReportFiles report;
  set_options(describe_sweep_command(sweep, report), arguments);
  ConfigNode base = base_configuration(arguments, overrides, registry);
  TuneOptions options;
  options.metric = arguments.metrics;
  if (options.metric.empty()) options.metric = {"val_loss"};
  options.direction = sweep.direction;
  options.study = sweep.study;
  options.name = sweep.name.empty() ? name_of_sweep(base, ranges) : sweep.name;
  options.sampler = "grid";
  options.workers = sweep.workers;
  options.gpus = sweep.gpus;
  options.trial_timeout = sweep.trial_timeout;
  options.value = sweep.value;
  const auto place = [](std::string_view parameter, std::string_view) {
    return fmt::format("--{}", parameter);
  };
  const SearchPlan plan =
      plan_search(std::move(base), SearchSpace(std::move(parameters), place), std::move(options));
  return run_planned_search(plan, registry, arguments, report);
}

}  // namespace

std::vector<std::string> values_of_sweep(std::string_view word) {
  std::vector<std::string> values(1);
  int depth = 0;
  char quote = 0;
  for (const char each : word) {
    if (quote != 0) {
      if (each == quote) quote = 0;
    } else if (each == '"' || each == '\'') {
      quote = each;
    } else if (each == '[' || each == '{') {
      ++depth;
    } else if (each == ']' || each == '}') {
      --depth;
    } else if (each == ',' && depth == 0) {
      values.emplace_back();
      continue;
    }
    values.back() += each;
  }
  return values;
}

std::vector<const char*> with_sweep(int argc, const char* const* argv) {
  std::vector<const char*> words(argv, argv + argc);
  const auto is = [](const char* word, std::string_view text) { return word == text; };
  const auto sweep = std::find_if(words.begin(), words.end(),
                                  [&](const char* word) { return is(word, "--sweep"); });
  if (words.size() < 2 || !is(words[1], "fit") || sweep == words.end()) return words;
  words.erase(sweep);
  words[1] = "sweep";
  return words;
}

Command sweep_command() {
  return {
      .name = "sweep",
      .help = "train every combination of several values of settings",
      .run = [](const Arguments& arguments,
                const Registry& registry) { return run_sweep(arguments, registry); },
      .with_options =
          [](const std::function<void(const Fields&)>& take) {
            SweepOptions sweep;
            ReportFiles report;
            take(describe_sweep_command(sweep, report));
          },
      .shared_options = {"config", "json", "metric", "output"},
      .notes = kSweepNotes,
  };
}

}  // namespace levin
