#include <levin/tuning/trials/search_checks.h>

#include <algorithm>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/session.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// Trials side by side are processes; one that is spread over devices would start more of them.
void require_one_device(const TrainerOptions& trainer) {
  const auto& devices = trainer.devices.value;
  const auto* count = std::get_if<int64_t>(&devices);
  const auto* name = std::get_if<std::string>(&devices);
  const bool several = (count != nullptr && (*count > 1 || *count < 0)) ||
                       (name != nullptr && name->find(',') != std::string::npos);
  if (!several && trainer.num_nodes <= 1) return;
  throw ConfigError::conflict("a trial of a search trains on one device",
                              "leave trainer.devices and trainer.num_nodes out, and give --workers "
                              "to train trials side by side");
}

double first_value(const Distribution& distribution) { return value_at(distribution, 0.0); }

/// Gives a parameter a value, and the parameters that it depends on values with which it is there.
void assign(const SearchSpace& space, const SearchParameter& parameter, double value,
            ParameterValues& values) {
  values[parameter.name] = value;
  if (!parameter.condition) return;
  assign(space, *space.find(parameter.condition->parameter), parameter.condition->values.front(),
         values);
}

/// The values at which a setting is checked: both ends, or all choices.
std::vector<double> checked_values(const Distribution& distribution) {
  if (!distribution.is_categorical()) {
    return {value_at(distribution, 0.0), value_at(distribution, 1.0)};
  }
  std::vector<double> values;
  for (size_t i = 0; i < distribution.choices().size(); ++i) {
    values.push_back(static_cast<double>(i));
  }
  return values;
}

ParameterValues first_values(const SearchSpace& space) {
  ParameterValues values;
  for (const auto& parameter : space.parameters()) {
    values[parameter.name] = first_value(parameter.distribution);
  }
  return values;
}

/// Whether the configuration itself is refused with this message, so that no range is at fault.
bool is_of_base(const SearchPlan& plan, const Registry& registry, std::string_view message) {
  try {
    read_job(registry, plan.base);
  } catch (const ConfigError& error) {
    return error.what() == message;
  }
  return false;
}

}  // namespace

void check_settings(const SearchPlan& plan, const Registry& registry) {
  for (const auto& parameter : plan.space.parameters()) {
    for (const double value : checked_values(parameter.distribution)) {
      ParameterValues values = first_values(plan.space);
      assign(plan.space, parameter, value, values);
      try {
        const Job job = read_job(registry, configuration_of(plan, values));
        require_one_device(*job.trainer);
        for (const auto& warning : job.warnings) {
          if (warning.find("the search space") != std::string::npos) throw ConfigError(warning);
        }
      } catch (const ConfigError& error) {
        if (is_of_base(plan, registry, error.what())) throw;
        throw ConfigError(fmt::format("{}{}", plan.space.place_of(parameter.name), error.what()));
      }
    }
  }
}

void check_metrics(const SearchPlan& plan, const Registry& registry) {
  std::vector<std::string> logged;
  try {
    Job job = read_job(registry, configuration_of(plan, first_values(plan.space)));
    job.trainer->fast_dev_run = 1;
    std::erase_if(job.default_callbacks,
                  [](const auto& each) { return each.name != "ModelCheckpoint"; });
    Session session(std::move(job), registry);
    session.fit();
    for (const auto& [name, value] : session.trainer().run().metrics()) logged.push_back(name);
  } catch (const ConfigError&) {
    throw;
  } catch (const DataError&) {
    throw;
  } catch (const std::exception&) {
    return;
  }
  for (const auto& metric : plan.options.metric) {
    if (std::find(logged.begin(), logged.end(), metric) != logged.end()) continue;
    throw ConfigError::unknown_name("metric", metric, logged, "--metric");
  }
}

}  // namespace levin
