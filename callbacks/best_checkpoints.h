#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// A checkpoint that is kept.
struct SavedCheckpoint {
  std::filesystem::path path;
  /// The monitor's value, with NaN replaced by the worst possible value; 0 without a monitor.
  double score = 0.0;
};

/// The checkpoints that ModelCheckpoint keeps: those with the best scores, or the latest ones. It
/// only knows their paths and scores, and touches no file.
class BestCheckpoints {
 public:
  /// How checkpoints are ranked: by the smallest or largest score, or a later one is better.
  enum class Ranking { smallest, largest, latest };

  /// The ranking by a monitor with its mode, "min" or "max"; `latest` if there is no monitor.
  static Ranking ranking_by(std::string_view monitor, std::string_view mode);

  /// Keeps at most `most`; -1 means all.
  BestCheckpoints(int64_t most, Ranking ranking) : most_(most), ranking_(ranking) {}

  /// Those that are kept, in the order in which they were saved.
  const std::vector<SavedCheckpoint>& all() const { return all_; }
  /// The path of the best one; empty if there is none.
  const std::filesystem::path& best_path() const { return best_path_; }
  /// The score of the best one; nothing if there is none, or if the latest is the best.
  std::optional<double> best_score() const { return best_score_; }

  /// Whether a checkpoint with this score would be among the best.
  bool admits(double score) const;
  /// Drops the worst ones until there is room for another one, and returns their paths.
  std::vector<std::filesystem::path> make_room();
  /// Adds a checkpoint, in the place of one with the same path if there is one.
  void add(const std::filesystem::path& path, double score);
  /// Gives the checkpoints other paths, in the order of `all`, and drops those whose path is empty.
  void set_paths(const std::vector<std::filesystem::path>& paths);
  void clear();

  /// The checkpoints as plain values, to be kept in a callback's state.
  Value::Array to_values() const;
  /// Throws like Value's accessors if the values aren't such a list.
  void load_values(const Value::Array& values);

 private:
  bool is_full() const;
  bool is_better(const SavedCheckpoint& a, const SavedCheckpoint& b) const;
  std::vector<SavedCheckpoint>::const_iterator worst() const;
  void find_best();

  int64_t most_;
  Ranking ranking_;
  std::vector<SavedCheckpoint> all_;
  std::filesystem::path best_path_;
  std::optional<double> best_score_;
};

}  // namespace levin
