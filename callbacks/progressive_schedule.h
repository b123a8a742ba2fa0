#pragma once

#include <cstdint>

namespace levin {

/// When ProgressiveValidation prints its lines. They are due by rows, but the rows of all ranks are
/// known only after a collective, so the schedule says after which batches to count them, too: as
/// seldom as the largest batch so far allows.
class ProgressiveSchedule {
 public:
  /// A line is due each time that this many more rows were counted. 0: after 1, 2, 4, 8 ... rows.
  explicit ProgressiveSchedule(int64_t every_n_rows);

  /// Call it after each batch. Returns whether a line may be due, so that rows have to be counted.
  bool is_count_due() { return ++batches_ >= next_count_; }
  /// Whether a line is due after so many rows.
  bool is_line_due(double rows) const { return rows >= next_line_; }
  /// Notes that a line was printed after so many rows.
  void line_was_printed(double rows) { next_line_ = next_after(rows); }
  /// Notes that there were so many rows, and in a batch of all ranks at most `largest`.
  void rows_were_counted(double rows, double largest);

  /// The number of rows of the next line, to be kept in a callback's state.
  double next_line() const { return next_line_; }
  void set_next_line(double rows) { next_line_ = rows; }

 private:
  /// The number of rows of the first line after the one with `rows`.
  double next_after(double rows) const;

  int64_t every_n_rows_;
  double next_line_;  // in rows
  int64_t batches_ = 0;
  int64_t next_count_ = 1;  // in batches
};

}  // namespace levin
