#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Python's pickles, read without running any code, and written. A pickle is a program for a small
/// stack machine that builds values. Where it says to call a function or to make an object of a
/// class, this reader only notes the name and the arguments; its caller decides which of these
/// names to accept. The functions know nothing of LibTorch.
///
/// Source: Lib/pickletools.py of CPython, which documents the opcodes.
namespace levin::pickle {

enum class Kind : uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  bytes,
  tuple,
  list,
  set,
  dict,
  global,      ///< a function or a class, by its name
  call,        ///< what calling a global would return
  persistent,  ///< what the program that reads the pickle keeps elsewhere
};

/// A value of a pickle. It refers to others by their numbers, because a pickle may contain a value
/// several times, or even in itself.
struct Node {
  Kind kind = Kind::none;
  int64_t integer = 0;  ///< a boolean's or an integer's value
  double real = 0.0;
  /// A text, bytes, or a global's "module.name"; an integer beyond 64 bits as "0x...".
  std::string text{};
  /// The members of a tuple, list or set; the keys and values of a dict in turn; a call's global
  /// and its tuple of arguments; what a persistent value is called.
  std::vector<uint32_t> items{};
};

/// The values of a pickle.
struct Graph {
  std::vector<Node> nodes;
  uint32_t root = 0;

  const Node& operator[](uint32_t number) const { return nodes[number]; }
  /// The value of a dict's text key, or nullptr if `dict` isn't a dict or has no such key.
  const Node* find(const Node& dict, std::string_view key) const;
  /// Whether a node is a call of the global of that name.
  bool is_call_of(const Node& node, std::string_view global) const;
};

/// Reads a pickle of protocols 2 to 5. `collections.OrderedDict()` becomes a dict; what BUILD says
/// of an object is dropped. Takes time and memory in proportion to the bytes, whatever they are.
/// `name` is used in messages only. Throws CheckpointError if the bytes aren't a pickle, for
/// opcodes of older protocols, and for more than 64 MiB.
Graph parse(std::span<const std::byte> bytes, std::string_view name);

/// Builds a pickle of protocol 2 by the opcodes that `torch.load(weights_only=True)` accepts. Each
/// function appends a value, or a part of one; the caller sees to their order:
///
///     Writer writer;
///     writer.begin_dict();
///     writer.text("epoch");
///     writer.integer(3);
///     writer.end_dict();
///     const std::string bytes = std::move(writer).finish();
class Writer {
 public:
  Writer();
  void none() { out_ += 'N'; }
  void boolean(bool value) { out_ += value ? '\x88' : '\x89'; }
  void integer(int64_t value);
  void real(double value);
  /// A text in UTF-8.
  void text(std::string_view value);
  /// Between the two: any number of values.
  void begin_tuple() { out_ += '('; }
  void end_tuple() { out_ += 't'; }
  void begin_list() { out_ += "]("; }
  void end_list() { out_ += 'e'; }
  /// Between the two: keys and values in turn.
  void begin_dict() { out_ += "}("; }
  void begin_ordered_dict();
  void end_dict() { out_ += 'u'; }
  void global(std::string_view module, std::string_view name);
  /// Calls the global before the tuple that was written last.
  void call() { out_ += 'R'; }
  /// Makes the value that was written last the name of a persistent value.
  void persistent() { out_ += 'Q'; }
  std::string finish() &&;

 private:
  std::string out_;
};

}  // namespace levin::pickle
