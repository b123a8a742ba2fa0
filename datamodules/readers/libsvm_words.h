#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/error.h>

namespace levin::readers {

/// The words of libsvm's lines, "label index:value index:value ...", for the parsers of dense and
/// of sparse rows. Functions with `line`, the number of the line, throw DataError with the name of
/// the file and the line for a word that breaks the rules.
class LibsvmWords {
 public:
  struct Rules {
    /// What errors call the file.
    std::string name = {};
    /// The declared number of features; 0 if it isn't declared.
    int64_t num_features = 0;
    /// The most features that there may be if their number isn't declared.
    int64_t most_features = 0;
    /// Whether features are numbered from 0 or from 1; nothing if that isn't known yet. Then they
    /// are taken as they are, from 0.
    std::optional<bool> zero_based = false;
    /// What to do about indices that don't rise.
    std::string order_remedy = "Sort the features of each line.";
  };

  explicit LibsvmWords(Rules rules) : rules_(std::move(rules)) {}

  /// A line without its comment and the blanks around it.
  static std::string_view content(std::string_view line) {
    return trimmed(line.substr(0, line.find('#')));
  }
  /// Cuts the next word off the front of `line`; empty at its end.
  static std::string_view token(std::string_view& line);

  const Rules& rules() const { return rules_; }
  /// The number of the first feature, and the highest that one may have.
  int64_t base() const { return rules_.zero_based.value_or(true) ? 0 : 1; }
  int64_t highest() const;

  /// The label, which is the first word of a line.
  double label(std::string_view word, int64_t line) const;
  /// The number of the query in "qid:3".
  int64_t qid(std::string_view word, int64_t line) const;
  /// Reads "index:value" and returns the value, which is finite and which a float32 can hold;
  /// `index` becomes the feature's number, counted from 0.
  double split(std::string_view word, int64_t line, int64_t& index) const;
  /// The number of features if the highest one is `highest`, counted from 0; -1 stands for none.
  int64_t width(int64_t highest) const;

  /// Throws the DataError for a feature `index`, counted from 0, that doesn't rise above the one
  /// before it, or that is too high for a width that the last indices of all lines gave, so that a
  /// lower one follows it.
  [[noreturn]] void fail_order(std::string_view word, int64_t line, int64_t index,
                               int64_t before) const;
  /// Throws the DataError for a word that isn't what it must be.
  [[noreturn]] void fail(std::string_view word, int64_t line, const std::string& problem) const;
  /// Returns the error for a file without rows.
  DataError no_rows() const;

 private:
  /// Where a line is, as messages say it: "a.svm, line 2".
  std::string place(int64_t line) const;
  [[noreturn]] void fail_below(std::string_view word, int64_t line) const;
  [[noreturn]] void fail_above(std::string_view word, int64_t line) const;

  Rules rules_;
};

}  // namespace levin::readers
