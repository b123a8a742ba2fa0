// Measures how much 1,000 logistic regressions over the same rows take together, against each of
// them alone.
//
//   many_regressions [--problems 1000] [--rows 1797] [--repeats 3]
//
// The rows are like those of digits: 64 numbers from 0 to 1, of which half are 0, and ten targets,
// each of which says whether the row is of one class. Each target is trained for values of C from
// 1e-3 to 1e3. "alone" runs newton-cholesky for one regression after the other, "together"
// lockstep-newton for all of them, both without a Trainer, to the same tol, in one thread's time.

#include <levin/levin.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/solvers/many_objective.h>

#include "median.h"

namespace {

constexpr int64_t kTargets = 10;
constexpr double kTol = 1e-6;

class MemoryRows : public levin::RowSource {
 public:
  MemoryRows(const torch::Tensor& x, const torch::Tensor& y) {
    batch_.set("input", x);
    batch_.set("target", y);
  }
  void pass(c10::function_ref<void(const levin::Batch& batch)> use) override { use(batch_); }
  void sum(torch::Tensor& /*values*/) override {}

 private:
  levin::Batch batch_;
};

struct Data {
  torch::Tensor x;  // [rows, 64] float32
  torch::Tensor y;  // [rows, 10]
};

Data make_data(int64_t rows) {
  torch::manual_seed(1);
  auto x = torch::rand({rows, 64}).mul_(torch::rand({rows, 64}).lt(0.5));
  const auto raw = x.mm(torch::randn({64, kTargets})) + 0.5 * torch::randn({rows, kTargets});
  const auto scores = (raw - raw.mean(0)) / raw.std(0);  // so that every class has rows
  const auto best = scores.argmax(1, /*keepdim=*/true);
  return {x, torch::zeros({rows, kTargets}).scatter_(1, best, 1.0)};
}

/// Trains all regressions one after the other. Returns their objectives.
torch::Tensor train_alone(const Data& data, const std::vector<double>& Cs) {
  std::vector<double> objectives;
  for (int64_t target = 0; target < kTargets; ++target) {
    MemoryRows rows(data.x, data.y.select(1, target).contiguous());
    for (const double c : Cs) {
      levin::LinearLoss loss{.kind = levin::LinearLoss::Kind::logistic,
                             .weight = torch::zeros({1, 64}, torch::kDouble),
                             .bias = torch::zeros({1}, torch::kDouble)};
      loss.l2_strength = 0.5 / (c * static_cast<double>(data.x.size(0)));
      levin::NewtonCholesky solver({loss.weight, loss.bias}, {.tol = kTol});
      levin::LinearObjective objective(rows, loss, solver.stepped());
      while (!solver.is_done()) solver.iterate(objective);
      objectives.push_back(solver.objective());
    }
  }
  return torch::tensor(objectives, torch::kDouble);
}

torch::Tensor train_together(const Data& data, const std::vector<double>& Cs) {
  MemoryRows rows(data.x, data.y);
  levin::ManyLosses losses{.columns = kTargets, .strengths = Cs, .are_c = true};
  losses.weight = torch::zeros({losses.problems(), 64}, torch::kDouble);
  losses.bias = torch::zeros({losses.problems()}, torch::kDouble);
  levin::LockstepNewton solver({losses.weight, losses.bias}, {.tol = kTol});
  levin::ManyObjective objective(rows, losses, solver.stepped());
  while (!solver.is_done()) solver.iterate(objective);
  return solver.objectives();
}

template <class Work>
double seconds_of(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t argument(int argc, char** argv, const char* name, int64_t value) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], name) == 0) value = std::atoll(argv[i + 1]);
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t problems = argument(argc, argv, "--problems", 1000);
  const int64_t repeats = argument(argc, argv, "--repeats", 3);
  const auto data = make_data(argument(argc, argv, "--rows", 1797));
  const auto Cs = levin::log_spaced(1e-3, 1e3, problems / kTargets);
  std::vector<double> together;
  std::vector<double> alone;
  double difference = 0.0;
  for (int64_t i = 0; i < repeats; ++i) {
    torch::Tensor one;
    torch::Tensor all;
    together.push_back(seconds_of([&] { all = train_together(data, Cs); }));
    alone.push_back(seconds_of([&] { one = train_alone(data, Cs); }));
    difference = ((all - one) / one).abs().max().item<double>();
  }
  std::printf("%lld regressions on %lld rows: together %.3f s, alone %.3f s, ratio %.1f\n",
              static_cast<long long>(problems), static_cast<long long>(data.x.size(0)),
              bench::median(together), bench::median(alone),
              bench::median(alone) / bench::median(together));
  std::printf("the objectives differ by %.1e of their size at most\n", difference);
  return difference < 1e-8 ? 0 : 1;
}
