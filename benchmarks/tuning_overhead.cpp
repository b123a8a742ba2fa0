// Measures what a trial of a search costs besides its training, in one process.
//   tuning_overhead [TRIALS=200]
// Each trial trains logistic regression on Iris for one batch. "A trial" is the time from the end
// of one trial to the end of the next: the parameters are chosen and recorded, with the file
// synced, the objects are made, the batch is trained and validated, and the end is recorded. "To
// the first step" ends where the trial's first batch begins. Levin's target for it is 30 ms.
#include <levin/callbacks/lambda_callback.h>
#include <levin/levin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/yaml.h>
#include <levin/tuning/trials/tune.h>

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// When the present trial's first batch began; a callback notes it.
Clock::time_point first_step;

class NoteFirstStep : public levin::Callback {
 public:
  void on_train_batch_start(const levin::Batch&, levin::Step& step) override {
    if (step.batch_index() == 0) first_step = Clock::now();
  }
};

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

struct Spread {
  double median = 0.0, high = 0.0;
};

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() * 9 / 10]};
}

void measure(const fs::path& folder, const std::string& sampler, int64_t trials) {
  auto registry = levin::shipped_classes();
  registry.callbacks.add<NoteFirstStep>("NoteFirstStep", "notes when the first batch begins");
  const auto base = levin::parse_yaml(
      "trainer: {max_epochs: 1, limit_train_batches: 1, accelerator: cpu, logger: false, "
      "callbacks: [{class_path: NoteFirstStep}], default_root_dir: '" +
          folder.string() +
          "'}\nmodel: {class_path: LogisticRegression, init_args: {in_features: 4, num_classes: "
          "3}}\ndata: {class_path: IrisDataModule}\n",
      "the benchmark");
  auto space = levin::SearchSpace::from_value(levin::Value::Object{
      {"model.learning_rate", levin::Value::Object{{"low", 1e-4}, {"high", 1.0}, {"log", true}}},
      {"data.batch_size", levin::Value::Object{{"low", 8}, {"high", 64}}}});
  std::vector<double> to_first_step;
  std::vector<double> whole;
  auto ended = Clock::now();
  levin::tune(registry, base, std::move(space),
              {.metric = {"val_loss"},
               .study = (folder / (sampler + ".log")).string(),
               .name = sampler,
               .trials = trials,
               .sampler = sampler},
              [&](const levin::Study&, const levin::Trial& trial) {
                if (trial.state != levin::TrialState::complete) std::abort();
                const auto now = Clock::now();
                if (trial.number > 0) {  // the first one also loads the data
                  to_first_step.push_back(milliseconds(first_step - ended));
                  whole.push_back(milliseconds(now - ended));
                }
                ended = now;
              });
  const Spread before = spread_of(to_first_step);
  const Spread all = spread_of(whole);
  std::printf(
      "%-7s to the first step %6.2f ms (90 %% within %6.2f ms)   a trial %6.2f ms (%6.2f ms)\n",
      sampler.c_str(), before.median, before.high, all.median, all.high);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t trials = argc > 1 ? std::atoll(argv[1]) : 200;
  const fs::path folder = fs::temp_directory_path() / "levin_tuning_overhead";
  fs::remove_all(folder);
  fs::create_directories(folder);
  std::printf("%lld trials each, medians\n", static_cast<long long>(trials));
  for (const char* sampler : {"random", "tpe"}) measure(folder, sampler, trials);
  fs::remove_all(folder);
  return 0;
}
