#pragma once

// The passes of online learners. Only implementation.h includes this file.
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/kernels/cpu/ftrl_rule.h>
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/online_learner.h>
#include <levin/framework/kernels/cpu/online_rules.h>
#include <levin/framework/kernels/cpu/sparse_rows.h>

namespace levin::kernels {
namespace {

// Calls work(rule), a rule of the settings' method.
template <class Number, class Work>
inline void with_rule(const OnlineSettings& settings, OnlineState<Number>& state, bool is_penalised,
                      Work work) {
  if (settings.method == OnlineMethod::ftrl) return work(FtrlRule<Number>(settings, state));
  if (settings.method == OnlineMethod::sgd) {
    return is_penalised ? work(SgdRule<Number, true>(settings, state))
                        : work(SgdRule<Number, false>(settings, state));
  }
  is_penalised ? work(AdagradRule<Number, true>(settings, state))
               : work(AdagradRule<Number, false>(settings, state));
}

template <class Number>
__attribute__((noinline)) double run_pass(const OnlineSettings& settings,
                                          OnlineState<Number>& state,
                                          const OnlinePass<Number>& pass) {
  double total = 0.0;
  const bool is_penalised = settings.l1 > 0.0 || settings.l2 > 0.0;
  with_rule(settings, state, is_penalised, [&]<class Rule>(const Rule&) {
    with_or_without_values(pass.rows, [&](auto has_values) {
      Learner<Number, Rule, has_values.value> learner(settings, state, pass);
      total = pass.rows_a_step == 1 ? learner.row_by_row() : learner.in_batches();
    });
  });
  return total;
}

// Writes the weights of all columns, or holds them. Without penalties, nothing is to be made up
// for, but columns have to know that in case penalties are to come.
template <class Number>
__attribute__((noinline)) void for_columns(const OnlineSettings& settings,
                                           OnlineState<Number>& state, Number* weights) {
  with_rule(settings, state, true, [&]<class Rule>(const Rule& rule) {
    typename Rule::Column* columns = columns_of<Rule>(state);
    constexpr int kSize = VectorsOf<Number>::kSize;
    int32_t numbers[kSize];
    for (int64_t c = 0; c < state.row_size; c += kSize) {
      for (int l = 0; l < kSize && c + l < state.row_size; ++l)
        numbers[l] = static_cast<int32_t>(c + l);
      const ColumnGroup<Number> group(numbers, state.row_size - c);
      auto lanes = rule.read(columns, group);
      rule.catch_up(lanes);
      for (int l = 0; l < group.count; ++l) {
        if (weights != nullptr) {
          weights[c + l] = lanes.weight[l];
        } else {
          rule.hold(columns[c + l], lanes.weight[l]);
        }
      }
    }
  });
}

// --- the kernels ---

template <class Number>
void online_start(const OnlineSettings& settings, OnlineState<Number>& state,
                  const Number* weights) {
  state.bias_z = -state.bias * settings.beta / settings.learning_rate;
  with_rule(settings, state, true, [&]<class Rule>(const Rule& rule) {
    typename Rule::Column* columns = columns_of<Rule>(state);
    for (int64_t c = 0; c < state.row_size; ++c) {
      rule.start(columns[c], weights != nullptr ? weights[c] : Number(0));
    }
  });
}
template <class Number>
double online_pass(const OnlineSettings& settings, OnlineState<Number>& state,
                   const OnlinePass<Number>& pass) {
  const DenormalsAreZero scope;
  return run_pass(settings, state, pass);
}
template <class Number>
void online_finish(const OnlineSettings& settings, OnlineState<Number>& state) {
  const DenormalsAreZero scope;
  for_columns<Number>(settings, state, nullptr);
}
template <class Number>
void online_weights(const OnlineSettings& settings, const OnlineState<Number>& state,
                    Number* weights) {
  const DenormalsAreZero scope;
  OnlineState<Number> copy = state;
  for_columns<Number>(settings, copy, weights);
}

}  // namespace
}  // namespace levin::kernels
