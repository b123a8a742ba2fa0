#include <levin/framework/trainer/fit_tuner.h>

#include <utility>

#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/trainer/adapted_loaders.h>
#include <levin/framework/trainer/trial_data.h>

namespace levin {
namespace {

/// The data of a fit that is about to begin: set up, and not to be set up again by a trial.
class DataOfFit : public TrialData {
 public:
  DataOfFit(DataModule& data, DataLoaders train) : TrialData(data), train_(std::move(train)) {}
  void prepare_data() override {}
  void set_floating_type(at::ScalarType) override {}
  void setup(Stage) override {}
  void teardown(Stage) override {}
  DataLoaders train_dataloader() override { return train_; }

 private:
  DataLoaders train_;
};

}  // namespace

Value to_value(const TunedSettings& tuned) {
  Value value = Value::Object{};
  if (tuned.learning_rate) value["learning_rate"] = *tuned.learning_rate;
  if (tuned.batch_size) value["batch_size"] = *tuned.batch_size;
  return value;
}

TunedSettings tuned_from_value(const Value& value) {
  TunedSettings tuned;
  if (value.contains("learning_rate")) tuned.learning_rate = value.at("learning_rate").as_double();
  if (value.contains("batch_size")) tuned.batch_size = value.at("batch_size").as_int();
  return tuned;
}

TunedSettings tune_fit(const std::vector<Callback*>& callbacks, const FitToTune& fit,
                       const DataLoaders& train) {
  TunedSettings tuned;
  if (fit.options.fast_dev_run.count > 0) return tuned;
  for (Callback* callback : callbacks) {
    auto* tuner = dynamic_cast<FitTuner*>(callback);
    if (tuner == nullptr) continue;
    DataOfFit data(fit.data, tuned.batch_size ? with_batch_size(train, *tuned.batch_size) : train);
    tuner->tune({fit.options, fit.module, data, fit.optimizers, fit.run}, tuned);
  }
  return tuned;
}

TunedSettings tuned_before(const std::vector<Callback*>& callbacks, const StateDict& checkpoint) {
  Value all = Value::Object{};
  const StateDict states = checkpoint.child("callbacks");
  for (Callback* callback : callbacks) {
    if (dynamic_cast<FitTuner*>(callback) == nullptr) continue;
    const std::string key = callback->state_key();
    if (!states.has_child(key)) continue;
    for (const auto& [name, value] : states.child(key).values.as_object()) all[name] = value;
  }
  return tuned_from_value(all);
}

void use_learning_rate(Optimizers& optimizers, double learning_rate) {
  for (auto& entry : optimizers.entries()) {
    auto& groups = entry.optimizer->groups();
    const double first = groups.at(0).base_learning_rate;
    for (size_t i = 0; i < groups.size(); ++i) {
      const double ratio = i > 0 && first > 0.0 ? groups[i].base_learning_rate / first : 1.0;
      groups[i].base_learning_rate = learning_rate * ratio;
      entry.optimizer->set_learning_rate(learning_rate * ratio, i);
    }
  }
}

}  // namespace levin
