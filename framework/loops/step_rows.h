#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include <c10/core/Event.h>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/loops/loss_watch.h>

namespace levin {

/// Hands the loggers their rows of steps. If values of a step are on a GPU, they are copied to the
/// host behind the step's other work, and the row is written some steps later, when the copy is
/// there: nobody waits for it. Rows keep their order, their steps and their epochs.
///
///     StepRows rows(parts, loss_watch);
///     rows.add(metrics, loss, step);     // after a step whose row is due
///     rows.write_ready();                // after each step
///     rows.write_all();                  // before anything that wants them written
class StepRows {
 public:
  /// Keeps the references.
  StepRows(LoopParts parts, LossWatch& loss_watch) : parts_(parts), loss_watch_(loss_watch) {}

  /// Adds the row of optimizer step `step` with what `metrics` has for the loggers, and lets the
  /// LossWatch look at `loss` when it is there.
  void add(LoggedValues& metrics, const torch::Tensor& loss, int64_t step);
  /// Writes the rows whose values are on the host, the first ones first.
  void write_ready() {
    if (!rows_.empty()) write(/*waits=*/false);
  }
  /// Writes all rows, and waits for their values.
  void write_all() {
    if (!rows_.empty()) write(/*waits=*/true);
  }

 private:
  struct Row {
    int64_t epoch;
    int64_t step;
    StepReading values;
    torch::Tensor loss;  // [] on the host; undefined if there is none
    std::optional<c10::Event> copied;
  };
  void write(bool waits);

  LoopParts parts_;
  LossWatch& loss_watch_;
  std::deque<Row> rows_;
};

}  // namespace levin
