// The program of the distributed tests: rank_program '{"out": "...", "trainer": {"devices": 2}}'
#include <cstdio>
#include <exception>

#include "distributed/rank_work.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("one argument is needed: the settings as JSON\n", stderr);
    return 2;
  }
  try {
    return levin::test::work_as_rank(levin::Value::from_json(argv[1]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
