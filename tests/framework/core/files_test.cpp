#include <levin/framework/core/files.h>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <thread>

#include <levin/framework/core/error.h>
#include <levin/framework/core/sync_later.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::files_test {

namespace fs = std::filesystem;
using test::message_of;
using test::read_file;
using test::says;
using test::TemporaryFolder;

/// Makes one kind of operation fail within a scope.
class Fault {
 public:
  Fault(std::string operation, int error) {
    files::inject_faults([this, operation = std::move(operation), error](const auto& each) {
      const bool fails = each.name == operation;
      times_ += fails ? 1 : 0;
      return fails ? error : 0;
    });
  }
  ~Fault() { files::inject_faults({}); }
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
  int times() const { return times_; }

 private:
  int times_ = 0;
};

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

using Names = std::vector<std::string>;
constexpr const char* kOperations[] = {"open", "write", "sync", "rename"};

TEST(FilesWriteAtomically, replaces_the_whole_file_and_leaves_nothing_beside_it) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "made" / "on" / "the way" / "file";
  files::write_atomically(path, "a longer first text");
  EXPECT_EQ(read_file(path), "a longer first text");
  files::write_atomically(path, "second");
  EXPECT_EQ(read_file(path), "second");
  EXPECT_EQ(names_in(path.parent_path()), Names{"file"});
}

TEST(FilesWriteAtomically, writes_the_parts_one_after_another) {
  const TemporaryFolder folder;
  const std::string first = "one ";
  const std::string second("t\0o", 3);
  const std::array parts{std::as_bytes(std::span(first)), std::span<const std::byte>(),
                         std::as_bytes(std::span(second))};
  files::write_atomically(folder.path() / "file", parts);
  EXPECT_EQ(read_file(folder.path() / "file"), first + second);
}

TEST(FilesWriteAtomically, keeps_the_old_file_whichever_operation_fails) {
  for (const char* operation : kOperations) {
    SCOPED_TRACE(operation);
    const TemporaryFolder folder;
    const auto path = folder.path() / "file";
    files::write_atomically(path, "old");
    {
      const Fault fault(operation, ENOSPC);
      const auto message =
          message_of<CheckpointError>([&] { files::write_atomically(path, "new and longer"); });
      EXPECT_TRUE(says(message, {path.string(), std::strerror(ENOSPC)}));
      EXPECT_EQ(fault.times(), 1);
    }
    EXPECT_EQ(read_file(path), "old");
    EXPECT_EQ(names_in(folder.path()), Names{"file"});
    files::write_atomically(path, "new");  // the fault is gone
    EXPECT_EQ(read_file(path), "new");
  }
}

TEST(FilesWriteAtomically, makes_no_file_where_there_was_none_when_an_operation_fails) {
  for (const char* operation : kOperations) {
    SCOPED_TRACE(operation);
    const TemporaryFolder folder;
    const Fault fault(operation, EIO);
    EXPECT_THROW(files::write_atomically(folder.path() / "file", "new"), CheckpointError);
    EXPECT_EQ(names_in(folder.path()), Names{});
  }
}

TEST(FilesWriteAtomically, refuses_a_folder_in_the_files_place) {
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "taken");
  const auto message = message_of<CheckpointError>(
      [&] { files::write_atomically(folder.path() / "taken", "text"); });
  EXPECT_TRUE(says(message, {"taken"}));
  EXPECT_EQ(names_in(folder.path()), Names{"taken"});
}

TEST(FilesWriteAtomically, many_writers_of_one_file_leave_one_whole_text) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "file";
  std::vector<std::thread> threads;
  for (char c = 'a'; c < 'i'; ++c) {
    threads.emplace_back([&path, c] {
      for (int i = 0; i < 10; ++i) files::write_atomically(path, std::string(5000, c));
    });
  }
  for (auto& thread : threads) thread.join();
  const std::string text = read_file(path);
  EXPECT_EQ(text, std::string(5000, text.at(0)));
  EXPECT_EQ(names_in(folder.path()), Names{"file"});
}

TEST(FilesCreateFolder, refuses_what_cannot_hold_files) {
  const TemporaryFolder folder;
  test::TemporaryFolder other;
  std::ofstream(folder.path() / "file") << "text";
  for (const fs::path& path : {folder.path() / "file", folder.path() / "file" / "below"}) {
    const auto message = message_of<CheckpointError>([&] { files::create_folder(path); });
    EXPECT_TRUE(says(message, {path.string()}));
  }
  EXPECT_THROW(files::write_atomically(folder.path() / "file" / "x", "text"), CheckpointError);
  EXPECT_THROW(files::create_folder("/proc/levin"), CheckpointError);
  files::create_folder(folder.path());  // there already
}

TEST(FilesCreateFolder, refuses_a_folder_without_permission_to_write) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may write anywhere";
  const TemporaryFolder folder;
  const auto locked = folder.path() / "locked";
  fs::create_directory(locked);
  fs::permissions(locked, fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THROW(files::create_folder(locked), CheckpointError);
  EXPECT_THROW(files::write_atomically(locked / "file", "text"), CheckpointError);
  EXPECT_THROW(files::create_version_folder(locked), CheckpointError);
  fs::permissions(locked, fs::perms::owner_all);
}

TEST(FilesReadText, gives_all_bytes) {
  const TemporaryFolder folder;
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(i * 37);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{15}, size_t{4096}, bytes.size()}) {
    files::write_atomically(folder.path() / "file", bytes.substr(0, size));
    EXPECT_EQ(files::read_text(folder.path() / "file"), bytes.substr(0, size)) << size;
  }
}

TEST(FilesReadText, refuses_a_missing_file_and_a_folder) {
  const TemporaryFolder folder;
  const auto missing = folder.path() / "missing";
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { files::read_text(missing); }),
                   {missing.string(), std::strerror(ENOENT)}));
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { files::read_text(folder.path()); }),
                   {folder.string(), std::strerror(EISDIR)}));
}

TEST(FilesReadText, reads_files_whose_size_is_not_known) {
  EXPECT_TRUE(says(files::read_text("/proc/self/status"), {"Name:", "Pid:"}));  // says size 0
}

TEST(FilesReadText, refuses_what_is_larger_than_it_may_be) {
  const TemporaryFolder folder;
  files::write_atomically(folder.path() / "file", "123456");
  EXPECT_EQ(files::read_text(folder.path() / "file", 6), "123456");
  EXPECT_TRUE(
      says(message_of<CheckpointError>([&] { files::read_text(folder.path() / "file", 5); }),
           {"file", "more than 5 bytes"}));
  EXPECT_TRUE(says(message_of<CheckpointError>([] { files::read_text("/dev/zero", 1 << 20); }),
                   {"/dev/zero", "more than 1048576 bytes"}));
}

TEST(FilesReadText, says_when_a_file_is_larger_than_memory) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "sparse";
  std::ofstream(path) << "x";
  std::error_code refused;
  fs::resize_file(path, uintmax_t{1} << 43, refused);  // 8 TiB that take no space on the disk
  if (refused) GTEST_SKIP() << "this file system has no sparse files: " << refused.message();
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { files::read_text(path); }),
                   {"sparse", std::strerror(ENOMEM)}));
}

TEST(FilesVersionFolder, is_one_above_the_highest) {
  const TemporaryFolder folder;
  const auto root = folder.path() / "logs";
  EXPECT_EQ(files::create_version_folder(root), root / "version_0");
  EXPECT_EQ(files::create_version_folder(root), root / "version_1");
  fs::create_directory(root / "version_7");
  fs::remove(root / "version_0");
  EXPECT_EQ(files::create_version_folder(root), root / "version_8");  // gaps stay
  EXPECT_TRUE(fs::is_directory(root / "version_8"));
}

TEST(FilesVersionFolder, passes_over_names_that_are_not_its_own) {
  const TemporaryFolder folder;
  for (const char* name :
       {"version_", "version_x", "version_9x", "version_-3", "version_ 4", "version_+5",
        "version_1.5", "xversion_6", "Version_8", "version_99999999999999999999999",
        "version_9223372036854775807", "other"}) {
    fs::create_directory(folder.path() / name);
  }
  EXPECT_EQ(files::create_version_folder(folder.path()), folder.path() / "version_0");
  std::ofstream(folder.path() / "version_4") << "a file of that name counts";
  EXPECT_EQ(files::create_version_folder(folder.path()), folder.path() / "version_5");
  fs::create_directory(folder.path() / "version_0010");
  EXPECT_EQ(files::create_version_folder(folder.path()), folder.path() / "version_11");
}

TEST(FilesVersionFolder, is_never_given_to_two_at_once) {
  const TemporaryFolder folder;
  constexpr int kThreads = 16;
  constexpr int kEach = 8;
  std::vector<std::vector<fs::path>> made(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : made) {
    threads.emplace_back([&mine, &folder] {
      for (int i = 0; i < kEach; ++i) mine.push_back(files::create_version_folder(folder.path()));
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<fs::path> all;
  for (const auto& mine : made) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), kThreads * kEach);
  for (const auto& path : all) EXPECT_TRUE(fs::is_directory(path));
}

TEST(FilesVersionFolder, fails_with_a_levin_error) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "text";
  EXPECT_THROW(files::create_version_folder(folder.path() / "file"), CheckpointError);
  const Fault fault("open", EDQUOT);
  EXPECT_TRUE(
      says(message_of<CheckpointError>([&] { files::create_version_folder(folder.path()); }),
           {"version_0", std::strerror(EDQUOT)}));
}

TEST(FilesMoveIntoPlace, replaces_the_old_file) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "part") << "new";
  std::ofstream(folder.path() / "file") << "old";
  files::move_into_place(folder.path() / "part", folder.path() / "file");
  EXPECT_EQ(read_file(folder.path() / "file"), "new");
  EXPECT_EQ(names_in(folder.path()), Names{"file"});
}

TEST(FilesMoveIntoPlace, keeps_both_files_when_an_operation_fails) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "part") << "new";
  std::ofstream(folder.path() / "file") << "old";
  for (const char* operation : {"open", "sync", "rename"}) {
    const Fault fault(operation, EIO);
    EXPECT_THROW(files::move_into_place(folder.path() / "part", folder.path() / "file"),
                 CheckpointError);
    EXPECT_EQ(read_file(folder.path() / "file"), "old");
    EXPECT_EQ(read_file(folder.path() / "part"), "new");
  }
  EXPECT_THROW(files::move_into_place(folder.path() / "missing", folder.path() / "file"),
               CheckpointError);
}

TEST(FilesMakeLink, takes_the_place_of_a_file_or_link_and_may_be_moved_with_its_target) {
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "a");
  std::ofstream(folder.path() / "a" / "first") << "1";
  std::ofstream(folder.path() / "a" / "second") << "2";
  std::ofstream(folder.path() / "a" / "last") << "a file";
  files::make_link(folder.path() / "a" / "first", folder.path() / "a" / "last");
  EXPECT_EQ(read_file(folder.path() / "a" / "last"), "1");
  files::make_link(folder.path() / "a" / "second", folder.path() / "a" / "last");
  EXPECT_EQ(names_in(folder.path() / "a"), (Names{"first", "last", "second"}));
  fs::rename(folder.path() / "a", folder.path() / "b");
  EXPECT_EQ(read_file(folder.path() / "b" / "last"), "2");
}

TEST(FilesMakeLink, leaves_what_was_there_when_an_operation_fails) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "target") << "new";
  std::ofstream(folder.path() / "link") << "old";
  for (const char* operation : {"open", "rename"}) {
    const Fault fault(operation, EIO);
    EXPECT_THROW(files::make_link(folder.path() / "target", folder.path() / "link"),
                 CheckpointError);
    EXPECT_EQ(read_file(folder.path() / "link"), "old");
  }
  fs::create_directory(folder.path() / "folder");
  EXPECT_THROW(files::make_link(folder.path() / "target", folder.path() / "folder"),
               CheckpointError);
  EXPECT_EQ(names_in(folder.path()), (Names{"folder", "link", "target"}));
}

TEST(FilesRemove, a_missing_file_is_no_error_a_folder_is) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "text";
  files::remove_file(folder.path() / "file");
  files::remove_file(folder.path() / "file");
  EXPECT_EQ(names_in(folder.path()), Names{});
  fs::create_directory(folder.path() / "folder");
  EXPECT_THROW(files::remove_file(folder.path() / "folder"), CheckpointError);
  EXPECT_TRUE(fs::exists(folder.path() / "folder"));
}

TEST(FilesAppend, waits_in_memory_until_flush_and_counts_what_waits) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "below" / "log.csv";
  files::AppendFile file(path);
  EXPECT_TRUE(file.is_open());
  file.append("a,b\n");
  EXPECT_EQ(file.offset(), 4);
  EXPECT_EQ(read_file(path), "");
  file.flush();
  EXPECT_EQ(read_file(path), "a,b\n");
  file.append("1,2\n");
  EXPECT_EQ(file.offset(), 8);
  file.close();
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(read_file(path), "a,b\n1,2\n");
}

TEST(FilesAppend, hands_on_64_KiB_by_itself) {
  const TemporaryFolder folder;
  files::AppendFile file(folder.path() / "log");
  file.append(std::string((64 << 10) - 1, 'x'));
  EXPECT_EQ(fs::file_size(folder.path() / "log"), 0U);
  file.append("y");
  EXPECT_EQ(fs::file_size(folder.path() / "log"), 64U << 10);
}

TEST(FilesAppend, goes_on_at_the_end_or_at_an_offset) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log";
  files::write_atomically(path, "header\nrow 1\nrow 2\n");
  {
    files::AppendFile file(path);
    EXPECT_EQ(file.offset(), 19);
    file.append("row 3\n");
  }
  EXPECT_EQ(read_file(path), "header\nrow 1\nrow 2\nrow 3\n");
  {
    files::AppendFile file(path, 13);  // after "row 1"
    EXPECT_EQ(file.offset(), 13);
    file.append("row two\n");
  }
  EXPECT_EQ(read_file(path), "header\nrow 1\nrow two\n");
  files::AppendFile(path, 0).append("new\n");
  EXPECT_EQ(read_file(path), "new\n");
}

TEST(FilesAppend, never_makes_a_file_longer_by_cutting_it) {
  const TemporaryFolder folder;
  files::write_atomically(folder.path() / "log", "short\n");
  files::AppendFile file(folder.path() / "log", 100);
  EXPECT_EQ(file.offset(), 6);
  file.append("more\n");
  file.flush();
  EXPECT_EQ(read_file(folder.path() / "log"), "short\nmore\n");
}

TEST(FilesAppend, moves_with_what_waits) {
  const TemporaryFolder folder;
  files::AppendFile first(folder.path() / "log");
  first.append("text");
  files::AppendFile second(std::move(first));
  EXPECT_FALSE(first.is_open());  // NOLINT(bugprone-use-after-move)
  files::AppendFile third;
  EXPECT_FALSE(third.is_open());
  third = std::move(second);
  EXPECT_EQ(third.offset(), 4);
  third.close();
  EXPECT_EQ(read_file(folder.path() / "log"), "text");
}

TEST(FilesAppend, keeps_what_it_could_not_write_and_writes_it_later) {
  const TemporaryFolder folder;
  files::AppendFile file(folder.path() / "log");
  file.append("one\n");
  {
    const Fault fault("write", ENOSPC);
    EXPECT_THROW(file.flush(), CheckpointError);
    file.append("two\n");
    EXPECT_THROW(file.flush(), CheckpointError);
  }
  EXPECT_EQ(file.offset(), 8);
  EXPECT_EQ(file.text(), "one\ntwo\n");
  file.flush();
  EXPECT_EQ(read_file(folder.path() / "log"), "one\ntwo\n");
}

TEST(FilesAppend, knows_that_its_file_is_gone_and_still_has_the_text) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "run" / "log";
  files::AppendFile file(path);
  file.append("one\n");
  file.flush();
  file.append("two\n");
  EXPECT_FALSE(file.is_removed());
  fs::remove_all(path.parent_path());
  EXPECT_TRUE(file.is_removed());
  EXPECT_EQ(file.text(), "one\ntwo\n");
  file.replace(file.text());
  file.flush();
  EXPECT_FALSE(file.is_removed());
  file.append("three\n");
  file.close();
  EXPECT_EQ(read_file(path), "one\ntwo\nthree\n");
}

TEST(FilesExists, counts_what_cannot_be_looked_at_as_missing) {
  const TemporaryFolder folder;
  files::write_atomically(folder.path() / "file", "text");
  EXPECT_TRUE(files::exists(folder.path() / "file"));
  EXPECT_TRUE(files::exists(folder.path()));
  EXPECT_TRUE(files::is_folder(folder.path()));
  EXPECT_FALSE(files::is_folder(folder.path() / "file"));
  for (const fs::path& path : {folder.path() / "missing", folder.path() / "file/below",
                               folder.path() / std::string(300, 'x'), fs::path()}) {
    EXPECT_FALSE(files::exists(path)) << path;
    EXPECT_FALSE(files::is_folder(path)) << path;
  }
}

TEST(FilesAppend, knows_that_another_file_took_its_place) {
  const TemporaryFolder folder;
  files::AppendFile file(folder.path() / "log");
  EXPECT_FALSE(file.is_removed());
  files::write_atomically(folder.path() / "log", "an editor's copy");
  EXPECT_TRUE(file.is_removed());
  files::AppendFile other(folder.path() / "log");
  fs::rename(folder.path() / "log", folder.path() / "log.1");
  EXPECT_TRUE(other.is_removed());
  files::write_atomically(folder.path() / "log", "the next one");
  EXPECT_TRUE(other.is_removed());
}

TEST(FilesAppend, replaces_the_whole_text_once_that_is_possible) {
  const TemporaryFolder folder;
  files::AppendFile file(folder.path() / "log");
  file.append("old\n");
  file.flush();
  file.replace("new\n");
  file.append("more\n");
  EXPECT_EQ(file.offset(), 9);
  {
    const Fault fault("rename", EIO);
    EXPECT_THROW(file.flush(), CheckpointError);
  }
  EXPECT_EQ(read_file(folder.path() / "log"), "old\n");
  EXPECT_EQ(file.text(), "new\nmore\n");
  file.flush();
  file.append("end\n");
  file.close();
  EXPECT_EQ(read_file(folder.path() / "log"), "new\nmore\nend\n");
}

TEST(FilesAppend, replaces_text_that_was_never_written_without_a_new_file) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log";
  files::AppendFile file(path);
  file.append("narrow\n");
  file.replace("wide\n");
  EXPECT_EQ(file.text(), "wide\n");
  {
    const Fault fault("rename", EIO);
    file.flush();
  }
  EXPECT_EQ(read_file(path), "wide\n");
  EXPECT_FALSE(file.is_removed());
  files::AppendFile removed(folder.path() / "removed");
  fs::remove(folder.path() / "removed");
  removed.append("narrow\n");
  removed.replace("wide\n");
  removed.flush();
  EXPECT_EQ(read_file(folder.path() / "removed"), "wide\n");
}

TEST(FilesAppend, fails_with_a_levin_error) {
  const TemporaryFolder folder;
  EXPECT_THROW(files::AppendFile(folder.path()), CheckpointError);  // a folder
  {
    const Fault fault("open", EACCES);
    EXPECT_THROW(files::AppendFile(folder.path() / "log"), CheckpointError);
  }
  files::AppendFile file(folder.path() / "log");
  file.append("text");
  {
    const Fault fault("write", ENOSPC);
    EXPECT_TRUE(
        says(message_of<CheckpointError>([&] { file.flush(); }), {"log", std::strerror(ENOSPC)}));
  }
  file.append("more");
  const Fault fault("write", ENOSPC);
  EXPECT_THROW(file.close(), CheckpointError);
  EXPECT_FALSE(file.is_open());
}

TEST(FilesClock, goes_forward_in_seconds) {
  const auto start = std::chrono::steady_clock::now();
  const double before = files::monotonic_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double passed = files::monotonic_seconds() - before;
  const std::chrono::duration<double> around = std::chrono::steady_clock::now() - start;
  EXPECT_GE(passed, 0.019);
  EXPECT_LE(passed, around.count() + 1e-6);
  EXPECT_GT(files::wall_seconds(), 1.6e9);  // after 2020
}

TEST(Files, what_is_synced_later_is_there_at_once_and_errors_are_reported_then) {
  const TemporaryFolder folder;
  EXPECT_FALSE(files::SyncLater::take(folder / "a")) << "nobody waits for it later";
  {
    files::SyncLater later;
    files::write_atomically(folder / "a", "1");
    files::write_atomically(folder / "b", "2");
    EXPECT_EQ(read_file(folder / "a"), "1");
    files::remove_file(folder / "b");
    EXPECT_NO_THROW(later.finish()) << "a file that was removed doesn't count";
    std::thread([&] { EXPECT_FALSE(files::SyncLater::take(folder / "a")); }).join();
    ASSERT_TRUE(files::SyncLater::take(folder / "a" / "below a file"));
    EXPECT_THROW(later.finish(), CheckpointError);
  }
  EXPECT_FALSE(files::SyncLater::take(folder / "a"));
}

}  // namespace levin::files_test
