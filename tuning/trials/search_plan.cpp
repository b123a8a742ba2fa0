#include <levin/tuning/trials/search_plan.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <levin/cli/past_runs.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>
#include <levin/tuning/batched/batchable.h>
#include <levin/tuning/samplers/cma_es_searcher.h>
#include <levin/tuning/samplers/simple_searchers.h>
#include <levin/tuning/samplers/tpe_searcher.h>
#include <levin/tuning/schedulers/staged_searchers.h>

namespace levin {
namespace {

const std::vector<std::string> kSamplers = {"random", "grid",       "sobol",  "tpe",
                                            "cmaes",  "population", "halving"};
const std::vector<std::string> kPruners = {"none", "median", "halving", "hyperband", "asha"};

/// Whether the sampler knows by itself how many trials the study has.
bool has_own_end(const TuneOptions& options) {
  return options.sampler == "grid" || options.sampler == "population" ||
         options.sampler == "halving";
}

std::vector<StudyDirection> directions_of(const TuneOptions& options) {
  if (options.metric.empty()) {
    throw ConfigError::conflict("no metric is named", "give --metric NAME, such as val_loss");
  }
  if (!options.direction.empty() && options.direction.size() != options.metric.size()) {
    throw ConfigError::conflict(fmt::format("there are {} metrics, but {} directions",
                                            options.metric.size(), options.direction.size()),
                                "give --direction once for each --metric, or not at all");
  }
  std::vector<StudyDirection> directions;
  for (size_t i = 0; i < options.metric.size(); ++i) {
    const bool low = lower_is_better(options.metric[i]);
    const std::string wish =
        options.direction.empty() ? (low ? "min" : "max") : options.direction[i];
    if (wish != "min" && wish != "max") {
      throw ConfigError::invalid_value("direction", wish, "expected min or max");
    }
    directions.push_back(wish == "min" ? StudyDirection::minimize : StudyDirection::maximize);
  }
  return directions;
}

void require_name(std::string_view option, const std::string& name,
                  const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  throw ConfigError::unknown_name(option, name, known);
}

void check_options(const TuneOptions& options) {
  require_name("sampler", options.sampler, kSamplers);
  require_name("pruner", options.pruner, kPruners);
  const auto at_least = [](std::string_view name, double value, double least) {
    if (value >= least) return;
    throw ConfigError::invalid_value(name, fmt::format("{}", value),
                                     fmt::format("must be at least {}", least));
  };
  if (options.value != "last" && options.value != "best") {
    throw ConfigError::unknown_name("value", options.value, {"last", "best"});
  }
  at_least("trials", static_cast<double>(options.trials), 0);
  at_least("min_epochs", static_cast<double>(options.min_epochs), 0);
  at_least("candidates", static_cast<double>(options.candidates), 0);
  if (options.reduction_factor != 0) {
    at_least("reduction_factor", static_cast<double>(options.reduction_factor), 2);
  }
  at_least("time", options.time, 0);
  at_least("epochs", static_cast<double>(options.epochs), 0);
  at_least("workers", static_cast<double>(options.workers), 1);
  at_least("batch", static_cast<double>(options.batch), 1);
  at_least("trial_timeout", options.trial_timeout, 0);
  at_least("seed", static_cast<double>(options.seed), 0);
  at_least("grid_points", static_cast<double>(options.grid_points), 0);
  if (options.lag > 0 && options.workers > options.lag) {
    throw ConfigError::conflict(
        fmt::format("{} workers with a lag of {}", options.workers, options.lag),
        "give --lag at least as large as --workers, or leave it out");
  }
  if (options.trial_timeout > 0 && options.workers < 2) {
    throw ConfigError::conflict("a trial of this process can't be killed by itself",
                                "give --workers of at least 2 with --trial-timeout");
  }
  if (!has_own_end(options) && options.trials == 0 && options.time == 0 && options.epochs == 0) {
    throw ConfigError::conflict("the search has no end",
                                "give --trials N, --time SECONDS or --epochs N");
  }
  if (options.pruner != "none" && options.metric.size() > 1) {
    throw ConfigError::conflict("a pruner compares trials by one metric, but there are several",
                                "leave --pruner out, or give one --metric");
  }
  const bool is_staged = options.sampler == "population" || options.sampler == "halving";
  if ((options.sampler == "cmaes" || is_staged || options.value == "best") &&
      options.metric.size() > 1) {
    const std::string asking =
        options.value == "best" ? "--value best" : "the sampler " + options.sampler;
    throw ConfigError::conflict(asking + " needs one metric, but there are several",
                                "give one --metric, or take --sampler tpe");
  }
  if (is_staged && options.pruner != "none") {
    throw ConfigError::conflict(
        fmt::format("the sampler {} decides itself which trials go on", options.sampler),
        "leave --pruner out");
  }
  if (options.lag > 0 && options.pruner == "asha") {
    throw ConfigError::conflict(
        "with --lag, each trial waits for earlier ones, but asha pauses them",
        "give one of the two");
  }
}

/// Checks that trials can be trained at once, if that is wanted.
void check_batch(const TuneOptions& options, const SearchSpace& space) {
  if (options.batch == 1) return;
  const auto refuse = [&](const std::string& what, const char* hint) {
    throw ConfigError::conflict(fmt::format("--batch {} with {}", options.batch, what), hint);
  };
  constexpr const char* kOneByOne = "leave --batch out, so that trials are trained one by one";
  if (options.workers > 1) {
    refuse(fmt::format("{} workers", options.workers), "give one of the two");
  }
  if (options.lag > 0 && options.batch > options.lag) {
    refuse(fmt::format("a lag of {}", options.lag), "give --lag at least as large as --batch");
  }
  if (options.pruner == "asha") refuse("the pruner asha, whose trials pause", kOneByOne);
  if (options.sampler == "population" || options.sampler == "halving") {
    refuse("the sampler " + options.sampler + ", whose trials go on from checkpoints", kOneByOne);
  }
  for (const auto& parameter : space.parameters()) {
    if (may_jobs_differ_in(parameter.name)) continue;
    throw ConfigError::conflict(
        fmt::format("{}trials that differ in {} can't be trained at once",
                    space.place_of(parameter.name), parameter.name),
        "leave --batch out, or search for learning rates, penalties, weight "
        "decays and seeds alone");
  }
}

/// `trainer.max_epochs` of the configuration, which some schedulers need.
int64_t max_epochs_of(const ConfigNode& base, const SearchSpace& space,
                      const std::string& wanted_by) {
  if (space.find("trainer.max_epochs") != nullptr) {
    throw ConfigError(
        fmt::format("{}{} compares trials of equal length, so the space can't vary "
                    "trainer.max_epochs; leave it out",
                    space.place_of("trainer.max_epochs"), wanted_by));
  }
  const ConfigNode* const trainer = base.find("trainer");
  const ConfigNode* const epochs = trainer == nullptr ? nullptr : trainer->find("max_epochs");
  if (epochs != nullptr) {
    const Value value = epochs->plain();
    if (value.is_int() && value.as_int() >= 1) return value.as_int();
  }
  throw ConfigError::conflict(
      fmt::format("{} has to know how long a trial is, but max_epochs isn't given", wanted_by),
      "give --trainer.max_epochs=N");
}

int64_t factor_of(const TuneOptions& options, int64_t usual) {
  return options.reduction_factor == 0 ? usual : options.reduction_factor;
}

std::unique_ptr<Searcher> halving_searcher_of(const ConfigNode& base, const SearchSpace& space,
                                              const TuneOptions& options) {
  std::unique_ptr<Searcher> source;
  int64_t candidates = options.candidates;
  if (candidates > 0) {
    source = std::make_unique<RandomSearcher>(space, static_cast<uint64_t>(options.seed));
  } else {
    auto grid = std::make_unique<GridSearcher>(space, options.grid_points);
    candidates = static_cast<int64_t>(grid->size());
    source = std::move(grid);
  }
  return std::make_unique<HalvingSearcher>(std::move(source), candidates, options.min_epochs,
                                           max_epochs_of(base, space, "the sampler halving"),
                                           static_cast<double>(factor_of(options, 3)));
}

std::unique_ptr<Searcher> searcher_of(const ConfigNode& base, const SearchSpace& space,
                                      const TuneOptions& options) {
  const auto seed = static_cast<uint64_t>(options.seed);
  if (options.sampler == "random") return std::make_unique<RandomSearcher>(space, seed);
  if (options.sampler == "sobol") return std::make_unique<SobolSearcher>(space, seed);
  if (options.sampler == "cmaes") return std::make_unique<CmaEsSearcher>(space, seed);
  if (options.sampler == "grid") return std::make_unique<GridSearcher>(space, options.grid_points);
  if (options.sampler == "halving") return halving_searcher_of(base, space, options);
  if (options.sampler == "population") {
    return std::make_unique<PopulationSearcher>(
        space, options.population, options.interval,
        max_epochs_of(base, space, "the sampler population"), PopulationOptions{.seed = seed});
  }
  return std::make_unique<TpeSearcher>(space, TpeOptions{.seed = seed, .lag = options.lag});
}

/// Optuna's pruners know an epoch by its number from 0.
std::unique_ptr<Pruner> pruner_of(const TuneOptions& options) {
  const int64_t least = std::max<int64_t>(options.min_epochs, 1);
  if (options.pruner == "median") {
    return std::make_unique<PercentilePruner>(PercentileOptions{.warmup_steps = least - 1});
  }
  if (options.pruner == "halving") {
    return std::make_unique<SuccessiveHalvingPruner>(
        HalvingOptions{.min_resource = least, .reduction_factor = factor_of(options, 4)});
  }
  if (options.pruner == "hyperband") {
    return std::make_unique<HyperbandPruner>(
        HyperbandOptions{.min_resource = least, .reduction_factor = factor_of(options, 3)});
  }
  return nullptr;
}

/// How many trials a study has in all; 0: no limit.
int64_t trials_of(const Searcher& searcher, int64_t wanted) {
  int64_t all = 0;
  if (const auto* grid = dynamic_cast<const GridSearcher*>(&searcher)) {
    all = static_cast<int64_t>(grid->size());
  } else if (const auto* staged = dynamic_cast<const StagedSearcher*>(&searcher)) {
    all = staged->size();
  }
  if (all == 0) return wanted;
  return wanted == 0 ? all : std::min(wanted, all);
}

}  // namespace

Fields describe(TuneOptions& o) {
  return fields_of<TuneOptions>({
      {"metric", &o.metric, "the metric to optimise; several: their Pareto front"},
      {"direction", &o.direction, "min or max for each metric; by default as its name says"},
      {"study", &o.study, "the study file, in Optuna's journal format"},
      {"name", &o.name, "the name of the study in the file"},
      {"trials", &o.trials, "how many trials the study shall have in all; 0: no limit"},
      {"time", &o.time, "seconds after which no trial is started; 0: no limit"},
      {"epochs", &o.epochs, "epochs of all trials after which none is started; 0: no limit"},
      {"sampler", &o.sampler, "random, grid, sobol, tpe, cmaes, population or halving"},
      {"pruner", &o.pruner, "which trials end early: none, median, halving, hyperband or asha"},
      {"min_epochs", &o.min_epochs, "epochs before a trial may end early; asha's first rung"},
      {"reduction_factor", &o.reduction_factor, "asha, halving, hyperband: one of so many goes on"},
      {"population", &o.population, "sampler population: how many trials train side by side"},
      {"interval", &o.interval, "sampler population: epochs between two comparisons"},
      {"candidates", &o.candidates, "sampler halving: random trials of the first stage; 0: a grid"},
      {"value", &o.value, "the epoch that gives a trial's value: last or best"},
      {"seed", &o.seed, "of the sampler"},
      {"lag", &o.lag, "tpe: up to so many workers give the same study; 0: any results count"},
      {"workers", &o.workers, "processes that run trials side by side"},
      {"batch", &o.batch, "trials trained at once, if only rates, penalties and seeds differ"},
      {"trial_timeout", &o.trial_timeout, "seconds after which a trial is killed; 0: never"},
      {"gpus", &o.gpus, "the GPUs of the workers, one for each in turn; by default all"},
      {"grid_points", &o.grid_points, "values that a grid tries of a range of floats"},
  });
}

SearchSpace read_search_space(const std::filesystem::path& path) {
  const ConfigNode root = read_yaml(path, "the search space");
  const auto place = [root, path](std::string_view parameter, std::string_view key) {
    Origin origin = root.origin;
    const ConfigNode* entry = &root;
    for (const std::string_view name : {parameter, key}) {
      if (name.empty() || !entry->is_object()) break;
      for (const auto& member : entry->members) {
        if (member.key == name) origin = member.origin;
      }
      const ConfigNode* const inner = entry->find(name);
      if (inner == nullptr) break;
      entry = inner;
    }
    return fmt::format("{}, line {}", path.string(), origin.line);
  };
  return SearchSpace::from_value(root.plain(), place);
}

SearchPlan plan_search(ConfigNode base, SearchSpace space, TuneOptions options) {
  SearchPlan plan;
  plan.directions = directions_of(options);
  check_options(options);
  check_batch(options, space);
  plan.searcher = searcher_of(base, space, options);
  plan.pruner = pruner_of(options);
  if (options.pruner == "asha") {
    plan.asha.emplace(AshaOptions{.min_resource = std::max<int64_t>(options.min_epochs, 1),
                                  .max_resource = max_epochs_of(base, space, "asha"),
                                  .reduction_factor = factor_of(options, 4)});
  }
  options.trials = trials_of(*plan.searcher, options.trials);
  plan.options = std::move(options);
  plan.base = std::move(base);
  plan.space = std::move(space);
  return plan;
}

ConfigNode configuration_of(const SearchPlan& plan, const ParameterValues& values) {
  std::vector<Override> overrides;
  for (const auto& [name, value] : plan.space.settings(values)) {
    ConfigNode node = parse_yaml(value.to_json(), "the search space");
    set_origin(node, {"the search space", 0});
    overrides.push_back({name, std::move(node), false});
  }
  // A class comes before its settings: "optimizer.class_path" before "optimizer.init_args.lr".
  std::stable_sort(overrides.begin(), overrides.end(), [](const Override& a, const Override& b) {
    const auto is_class = [](const Override& each) {
      return each.path.find('.') == std::string::npos || each.path.ends_with(".class_path");
    };
    return is_class(a) && !is_class(b);
  });
  return read_configuration({}, overrides, plan.base);
}

}  // namespace levin
