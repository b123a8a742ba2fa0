#include <levin/framework/solvers/online_methods.h>

#include <levin/framework/optimizers/checks.h>

namespace levin {
namespace {

template <class Options>
void check_online_options(const Options& o) {
  check_above_zero("learning_rate", o.learning_rate);
  check_option(o.rows_a_step >= 0, "rows_a_step", o.rows_a_step,
               "must be at least 1, or 0 for the rows of a batch");
  check_option(o.average_every >= 0, "average_every", o.average_every, "must be 0 or more");
  check_option(!o.hogwild || o.rows_a_step == 1, "rows_a_step", o.rows_a_step,
               "must be 1 with hogwild");
}

template <class Options>
void check_online_strengths(const Options& o) {
  check_at_least_zero("l1_strength", o.l1_strength);
  check_at_least_zero("l2_strength", o.l2_strength);
}

kernels::OnlineSettings online_settings(const OnlineSGDOptions& o) {
  check_online_options(o);
  check_online_strengths(o);
  check_at_least_zero("rate_decay", o.rate_decay);
  check_at_least_zero("rate_power", o.rate_power);
  return {.method = kernels::OnlineMethod::sgd,
          .learning_rate = o.learning_rate,
          .rate_decay = o.rate_decay,
          .rate_power = o.rate_power,
          .l1 = o.l1_strength,
          .l2 = 2.0 * o.l2_strength};
}

kernels::OnlineSettings online_settings(const OnlineAdagradOptions& o) {
  check_online_options(o);
  check_online_strengths(o);
  check_above_zero("eps", o.eps);
  return {.method = kernels::OnlineMethod::adagrad,
          .learning_rate = o.learning_rate,
          .eps = o.eps,
          .l1 = o.l1_strength,
          .l2 = 2.0 * o.l2_strength};
}

kernels::OnlineSettings online_settings(const FTRLOptions& o) {
  check_online_options(o);
  check_above_zero("beta", o.beta);
  check_at_least_zero("l1", o.l1);
  check_at_least_zero("l2", o.l2);
  return {.method = kernels::OnlineMethod::ftrl,
          .learning_rate = o.learning_rate,
          .beta = o.beta,
          .l1 = o.l1,
          .l2 = o.l2};
}

constexpr const char* kOnlineRateHelp = "step size, above 0";
constexpr const char* kOnlineRowsHelp = "rows that make a step; 0: those of a batch";
constexpr const char* kOnlineAverageHelp =
    "batches after which ranks average their weights; 0: when they are read, as after each epoch";
constexpr const char* kOnlineHogwildHelp =
    "let the run's threads learn from the rows of a batch at the same time, without locks";
constexpr const char* kOnlineL1Help = "adds l1_strength * sum |W| to the mean loss";
constexpr const char* kOnlineL2Help = "adds l2_strength * sum W^2 to the mean loss";

}  // namespace

Fields describe(OnlineSGDOptions& o) {
  return fields_of<OnlineSGDOptions>({
      {"learning_rate", &o.learning_rate, kOnlineRateHelp},
      {"rate_decay", &o.rate_decay,
       "the rate of step t is learning_rate / (1 + rate_decay * t)^rate_power"},
      {"rate_power", &o.rate_power, "see rate_decay"},
      {"l1_strength", &o.l1_strength, kOnlineL1Help},
      {"l2_strength", &o.l2_strength, kOnlineL2Help},
      {"rows_a_step", &o.rows_a_step, kOnlineRowsHelp},
      {"average_every", &o.average_every, kOnlineAverageHelp},
      {"hogwild", &o.hogwild, kOnlineHogwildHelp},
  });
}

Fields describe(OnlineAdagradOptions& o) {
  return fields_of<OnlineAdagradOptions>({
      {"learning_rate", &o.learning_rate, kOnlineRateHelp},
      {"eps", &o.eps, "added to the denominator, above 0"},
      {"l1_strength", &o.l1_strength, kOnlineL1Help},
      {"l2_strength", &o.l2_strength, kOnlineL2Help},
      {"rows_a_step", &o.rows_a_step, kOnlineRowsHelp},
      {"average_every", &o.average_every, kOnlineAverageHelp},
      {"hogwild", &o.hogwild, kOnlineHogwildHelp},
  });
}

Fields describe(FTRLOptions& o) {
  return fields_of<FTRLOptions>({
      {"learning_rate", &o.learning_rate, kOnlineRateHelp},
      {"beta", &o.beta, "makes the first steps of a feature shorter, above 0"},
      {"l1", &o.l1, "L1 penalty of the sum of all losses, not of their mean"},
      {"l2", &o.l2, "L2 penalty of the sum of all losses: l2 / 2 * sum W^2"},
      {"rows_a_step", &o.rows_a_step, kOnlineRowsHelp},
      {"average_every", &o.average_every, kOnlineAverageHelp},
      {"hogwild", &o.hogwild, kOnlineHogwildHelp},
  });
}

OnlineSGD::OnlineSGD(std::vector<torch::Tensor> parameters, OnlineSGDOptions options)
    : OnlineLearner(std::move(parameters), online_settings(options), options.rows_a_step,
                    options.average_every, options.hogwild) {}

OnlineAdagrad::OnlineAdagrad(std::vector<torch::Tensor> parameters, OnlineAdagradOptions options)
    : OnlineLearner(std::move(parameters), online_settings(options), options.rows_a_step,
                    options.average_every, options.hogwild) {}

FTRL::FTRL(std::vector<torch::Tensor> parameters, FTRLOptions options)
    : OnlineLearner(std::move(parameters), online_settings(options), options.rows_a_step,
                    options.average_every, options.hogwild) {}

}  // namespace levin
