#include "io/flow_steering.h"

#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "io/system_error.h"

namespace merlon::io {
namespace {

// The program's registers: r0 has what was loaded last and the answer, r6 the packet (loads want it there), r7 the hash.
constexpr std::uint8_t kResult = BPF_REG_0, kPacket = BPF_REG_6, kHash = BPF_REG_7;
constexpr std::int32_t kMultiplier = 0x7feb352d;  // odd, its bits well mixed

class Assembler {
 public:
  void operate(std::uint8_t operation, std::uint8_t to, std::int32_t value) {
    add(BPF_ALU64 | BPF_K | operation, to, 0, 0, value);
  }
  void operate_by(std::uint8_t operation, std::uint8_t to, std::uint8_t from) {
    add(BPF_ALU64 | BPF_X | operation, to, from, 0, 0);
  }
  // BPF_B, BPF_H or BPF_W at a fixed place, or so far behind kResult. A packet that is too short ends the program with 0.
  void load(std::uint8_t size, std::int32_t offset) { add(BPF_LD | BPF_ABS | size, 0, 0, 0, offset); }
  void load_behind_result(std::uint8_t size) { add(BPF_LD | BPF_IND | size, 0, kResult, 0, 0); }
  void mix_result() {
    operate_by(BPF_XOR, kHash, kResult);
    operate(BPF_MUL, kHash, kMultiplier);
  }
  // A jump whose target is set later, when kResult compares so with a value.
  [[nodiscard]] std::size_t jump_if(std::uint8_t comparison, std::int32_t value) {
    add(BPF_JMP | BPF_K | comparison, kResult, 0, 0, value);
    return program_.size() - 1;
  }
  [[nodiscard]] std::size_t jump() {
    add(BPF_JMP | BPF_JA, 0, 0, 0, 0);
    return program_.size() - 1;
  }
  void land(std::size_t jump) { program_[jump].off = static_cast<std::int16_t>(program_.size() - jump - 1); }
  void exit() { add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }
  [[nodiscard]] const std::vector<bpf_insn>& program() const { return program_; }

 private:
  void add(int code, std::uint8_t to, std::uint8_t from, std::int16_t offset, std::int32_t value) {
    bpf_insn step{};
    step.code = static_cast<std::uint8_t>(code);
    step.dst_reg = to & 0x0fU;
    step.src_reg = from & 0x0fU;
    step.off = offset;
    step.imm = value;
    program_.push_back(step);
  }
  std::vector<bpf_insn> program_;
};

constexpr std::int32_t kTcp = 6, kUdp = 17;

void hash_ipv4(Assembler& code, std::vector<std::size_t>& done) {
  for (const std::int32_t address : {12, 16}) {
    code.load(BPF_W, address);
    code.mix_result();
  }
  code.load(BPF_H, 6);  // fragments have no ports, or should go with those that have none
  code.operate(BPF_AND, kResult, 0x3fff);
  done.push_back(code.jump_if(BPF_JNE, 0));
  code.load(BPF_B, 9);
  const std::size_t is_tcp = code.jump_if(BPF_JEQ, kTcp);
  done.push_back(code.jump_if(BPF_JNE, kUdp));
  code.land(is_tcp);
  code.load(BPF_B, 0);
  code.operate(BPF_AND, kResult, 0x0f);
  code.operate(BPF_LSH, kResult, 2);
  code.load_behind_result(BPF_W);
  code.mix_result();
  done.push_back(code.jump());
}

void hash_ipv6(Assembler& code, std::vector<std::size_t>& done) {
  for (std::int32_t word = 8; word < 40; word += 4) {
    code.load(BPF_W, word);
    code.mix_result();
  }
  code.load(BPF_B, 6);
  const std::size_t is_tcp = code.jump_if(BPF_JEQ, kTcp);
  done.push_back(code.jump_if(BPF_JNE, kUdp));
  code.land(is_tcp);
  code.load(BPF_W, 40);
  code.mix_result();
}

std::vector<bpf_insn> steering_program() {
  Assembler code;
  std::vector<std::size_t> done;
  code.operate_by(BPF_MOV, kPacket, BPF_REG_1);
  code.operate(BPF_MOV, kHash, 0);
  code.load(BPF_B, 0);
  code.operate(BPF_RSH, kResult, 4);
  const std::size_t is_ipv6 = code.jump_if(BPF_JEQ, 6);
  done.push_back(code.jump_if(BPF_JNE, 4));
  hash_ipv4(code, done);
  code.land(is_ipv6);
  hash_ipv6(code, done);
  for (const std::size_t jump : done) code.land(jump);
  code.operate_by(BPF_MOV, kResult, kHash);
  code.operate(BPF_RSH, kResult,
               32);  // the upper half depends on all that was mixed; the kernel takes the rest by queues
  code.exit();
  return code.program();
}

Result<Fd> load(const std::vector<bpf_insn>& program) {
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr attributes;  // NOLINT(cppcoreguidelines-pro-type-member-init): a union, cleared whole
  std::memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insn_cnt = static_cast<std::uint32_t>(program.size());
  attributes.insns = reinterpret_cast<std::uint64_t>(program.data());
  attributes.license = reinterpret_cast<std::uint64_t>(kLicense);
  const long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
  if (fd < 0) return fail_errno(errno, "load a program that steers packets to TUN queues");
  return Fd(static_cast<int>(fd));
}

}  // namespace

Result<> keep_flows_in_their_queue(Tun& tun) {
  MERLON_TRY(const Fd program, load(steering_program()));
  int fd = program.get();  // the device keeps the program
  if (ioctl(tun.fd(), TUNSETSTEERINGEBPF, &fd) != 0)
    return fail_errno(errno, "steer packets to TUN queues by a program");
  return {};
}

}  // namespace merlon::io
