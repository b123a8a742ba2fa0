// The `levin` program with one more callback, TimeTo, which notes how long training takes until a
// metric of the validation is reached, and then stops. For ./run bench links (link_suite.py).
#include <levin/cli/command_line.h>
#include <levin/levin.h>

#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace {

struct TimeToOptions {
  std::string file{};
  std::string monitor = "val_acc";
  double target = 0.92;
};

levin::Fields describe(TimeToOptions& options) {
  return levin::fields_of<TimeToOptions>({
      {"file", &options.file, "rank 0 writes its results to this file, as JSON"},
      {"monitor", &options.monitor, "a metric that validation logs, the larger the better"},
      {"target", &options.target, "training stops when the metric is as large as this"},
  });
}

/// Measures the time of training without that of validation, which costs each way of training the
/// same.
class TimeTo : public levin::Callback {
 public:
  using Options = TimeToOptions;
  explicit TimeTo(Options options) : options_(std::move(options)) {}
  std::string state_key() const override { return "TimeTo"; }

  void on_train_start(levin::Run&) override { goes_on_ = Clock::now(); }
  void on_validation_start(levin::Run& run) override {
    if (run.stage() != levin::Stage::sanity_check) pause();
  }
  void on_validation_end(levin::Run& run) override {
    if (run.stage() == levin::Stage::sanity_check) return;
    const double value = run.metrics().at(options_.monitor);
    validations_.push_back(
        {{"step", run.global_step()}, {"seconds", seconds_}, {options_.monitor, value}});
    if (value >= options_.target) {
      reached_ = true;
      run.stop(options_.monitor + " has reached the target");
    }
    goes_on_ = Clock::now();
  }
  void on_train_end(levin::Run& run) override {
    pause();
    if (!run.is_global_zero()) return;
    const auto& metrics = run.metrics();
    const auto sent = metrics.find("comm_bytes");
    nlohmann::json result{{"seconds", seconds_},
                          {"steps", run.global_step()},
                          {"reached", reached_},
                          {"validations", validations_}};
    if (sent != metrics.end()) result["bytes_a_step"] = sent->second;
    std::ofstream(options_.file) << result << '\n';
  }

 private:
  using Clock = std::chrono::steady_clock;
  void pause() { seconds_ += std::chrono::duration<double>(Clock::now() - goes_on_).count(); }

  Options options_;
  Clock::time_point goes_on_;
  double seconds_ = 0.0;
  bool reached_ = false;
  std::vector<nlohmann::json> validations_;
};

}  // namespace

int main(int argc, char** argv) {
  auto registry = levin::shipped_classes();
  registry.callbacks.add<TimeTo>("TimeTo", "notes when a metric of the validation is reached");
  return levin::run_command_line(argc, argv, registry);
}
