// A tokenizer for the Python-like text that torch.jit.save writes, with a running estimate of parse depth.
#include "wasmgrad/training/torch/vet/source.hpp"

#include <algorithm>
#include <utility>

#include "wasmgrad/training/torch/vet/grad_mode.hpp"

namespace wasmgrad::training::vet {
namespace {

constexpr std::size_t kMaxNameLength = 1024;

bool is_name_start(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return is_name_start(c) || is_digit(c); }

/// Words that make torch's parser nest: each counts like a binary operator.
bool is_operator_word(std::string_view word) {
  static constexpr std::string_view kWords[] = {"and", "or", "not", "if", "else", "in", "is", "for"};
  return std::ranges::find(kWords, word) != std::end(kWords);
}

class Scanner {
 public:
  Scanner(const std::string& qualifier, std::string_view text, std::uint64_t max_nesting,
          const OperatorFilter& allowed)
      : qualifier_(qualifier), text_(text), max_nesting_(max_nesting), allowed_(allowed) {}

  Expected<std::vector<CodeUnit>> run() {
    if (qualifier_ == kGradMode) {
      if (text_ == kGradModeText) return std::vector<CodeUnit>();
      return refused(
          "it is not what torch.jit.save writes of torch.no_grad, and nothing else is allowed to be called "
          "so");
    }
    while (at_ < text_.size()) WASMGRAD_CHECK(next());
    if (levels_.size() > 1) return broken("a bracket is never closed");
    end_chain();
    return std::move(units_);
  }

 private:
  [[nodiscard]] Error error(Errc code, const std::string& what) const {
    return {code, "code " + qualifier_ + ", line " + std::to_string(line_) + ": " + what};
  }
  [[nodiscard]] Error broken(const std::string& what) const { return error(Errc::kInvalidEncoding, what); }
  [[nodiscard]] Error refused(const std::string& what) const { return error(Errc::kSecurity, what); }

  Status next() {
    if (line_start_ && levels_.size() == 1) WASMGRAD_CHECK(indentation());
    if (at_ >= text_.size()) return {};
    const char c = text_[at_];
    if (c == '\n') return newline();
    if (c == ' ') {
      ++at_;
      return {};
    }
    if (c == '"' || c == '\'') return string(c);
    if (is_name_start(c)) return word();
    if (is_digit(c)) return number();
    return punctuation(c);
  }

  Status newline() {
    ++at_;
    ++line_;
    line_start_ = true;
    if (levels_.size() == 1) {
      end_chain();
      levels_.back() = 0;
      depth_ = 0;
      previous_ = Previous::kNothing;
    }
    return {};
  }

  Status indentation() {
    line_start_ = false;
    std::size_t spaces = 0;
    while (at_ < text_.size() && text_[at_] == ' ') ++at_, ++spaces;
    if (at_ >= text_.size() || text_[at_] == '\n') return {};
    while (indents_.back() > spaces) indents_.pop_back();
    if (indents_.back() < spaces) indents_.push_back(spaces);
    if (indents_.size() > max_nesting_) {
      return error(Errc::kTooLarge, "blocks nested deeper than " + std::to_string(max_nesting_) + " levels");
    }
    at_line_head_ = spaces == 0;
    return {};
  }

  Status string(char quote) {
    if (text_.substr(at_).starts_with(quote == '"' ? "\"\"\"" : "'''"))
      return refused("triple-quoted strings are not allowed");
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == quote) {
        ++at_;
        end_chain();
        previous_ = Previous::kOperand;
        return {};
      }
      if (c == '\n' || !is_printable(c)) break;
      if (c == '\\') ++at_;
    }
    return broken("a string is not closed on its line, or holds control characters");
  }

  static bool is_printable(char c) { return c >= 0x20 && c < 0x7F; }

  Status number() {
    while (at_ < text_.size() && (is_name(text_[at_]) || text_[at_] == '.' || exponent_sign())) ++at_;
    end_chain();
    previous_ = Previous::kOperand;
    return {};
  }

  [[nodiscard]] bool exponent_sign() const {
    return (text_[at_] == '-' || text_[at_] == '+') && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E');
  }

  Status word() {
    const std::size_t start = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    const std::string_view name = text_.substr(start, at_ - start);
    if (name.size() > kMaxNameLength) return error(Errc::kTooLarge, "a name longer than 1024 characters");
    if (previous_ == Previous::kDot && !chain_.empty()) {
      chain_ += '.';
      chain_ += name;
      previous_ = Previous::kOperand;
      return check_chain();
    }
    end_chain();
    const bool after_dot = previous_ == Previous::kDot;
    const std::string_view introduced_by = std::exchange(keyword_, {});
    previous_ = Previous::kOperand;
    if (introduced_by == "class") return class_name(name);
    if (introduced_by == "def") return function_name(name);
    at_line_head_ = at_line_head_ && levels_.size() == 1;
    if (!after_dot) {
      if (name == "class" || name == "def") {
        keyword_ = name;
        return {};
      }
      if (name == "elif" || name == "import" || name == "lambda") {
        return refused("'" + std::string(name) + "' is not something that torch.jit.save writes");
      }
      // torch follows the names in these lists without looking whether there are such functions.
      if (name == "__forward_hooks__" || name == "__forward_pre_hooks__")
        return refused("'" + std::string(name) + "' is not allowed: modules with hooks are not supported");
      if (is_operator_word(name)) return operation();
      if (name == "torch" || name == "ops" || name == "__torch__") chain_ = name;
    }
    return {};
  }

  /// Called after each further part of a dotted name that begins with torch, ops or __torch__.
  Status check_chain() {
    if (chain_.size() > kMaxNameLength)
      return error(Errc::kTooLarge, "a dotted name longer than 1024 characters");
    std::string name;
    if (chain_.starts_with("torch.")) {
      name = "aten::" + chain_.substr(6);
    } else if (chain_.starts_with("ops.")) {
      name = chain_.substr(4);
      const std::size_t dot = name.find('.');
      if (dot == std::string::npos) return postfix();
      name.replace(dot, 1, "::");
    } else {
      if (chain_.starts_with("__torch__.torch.classes"))
        return refused("the custom C++ class '" + chain_ + "' is not allowed");
      return postfix();
    }
    if (!allowed_(name)) return refused("operator '" + name + "' is not on the allow-list");
    return postfix();
  }

  void end_chain() {
    if (chain_.starts_with("__torch__") && !chain_.starts_with(kNoGrad) && !units_.empty())
      units_.back().references.push_back(chain_);
    chain_.clear();
  }

  Status class_name(std::string_view name) {
    if (!at_line_head_) return refused("a class inside another definition");
    std::string_view rest = text_.substr(at_);
    for (const std::string_view base : {"(Module):", "(NamedTuple):", "(Enum):"}) {
      if (rest.starts_with(base)) {
        units_.push_back({qualifier_ + "." + std::string(name), true, {}});
        return {};
      }
    }
    rest = rest.substr(0, std::min<std::size_t>(rest.find('\n'), 60));
    if (rest.find("Interface") != std::string_view::npos)
      return refused("interface '" + std::string(name) + "' is not allowed");
    return refused(
        "class '" + std::string(name) +
        "' is neither a module nor a named tuple nor an enumeration, which are the only kinds allowed");
  }

  Status function_name(std::string_view name) {
    if (name == "__setstate__" || name == "__getstate__") {
      return refused("method '" + std::string(name) + "' is not allowed: it runs while the model loads");
    }
    if (at_line_head_) units_.push_back({qualifier_ + "." + std::string(name), false, {}});
    return {};
  }

  Status punctuation(char c) {
    if (c == '.') {
      ++at_;
      previous_ = Previous::kDot;
      return chain_.empty() ? postfix() : Status{};
    }
    end_chain();
    ++at_;
    switch (c) {
      case '(':
      case '[':
      case '{': {
        const bool applied = previous_ == Previous::kOperand && c != '{';
        previous_ = Previous::kNothing;
        if (applied) WASMGRAD_CHECK(postfix());
        levels_.push_back(0);
        return deeper();
      }
      case ')':
      case ']':
      case '}':
        if (levels_.size() == 1) return broken("a bracket is closed that was never opened");
        depth_ -= levels_.back() + 1;
        levels_.pop_back();
        previous_ = Previous::kOperand;
        return {};
      case ',':
        depth_ -= levels_.back();
        levels_.back() = 0;
        previous_ = Previous::kNothing;
        return {};
      case ':':
        previous_ = Previous::kNothing;
        return {};
      case '+':
      case '-':
      case '*':
      case '/':
      case '%':
      case '@':
      case '&':
      case '|':
      case '^':
      case '~':
      case '<':
      case '>':
      case '=':
      case '!':
        previous_ = Previous::kNothing;
        return operation();
      default:
        return broken("character " + std::to_string(static_cast<unsigned char>(c)) +
                      " is not one that torch.jit.save writes");
    }
  }

  // An operator and a postfix (.name, call, subscript) both put the expression before them one level deeper.
  Status operation() {
    previous_ = Previous::kNothing;
    return postfix();
  }
  Status postfix() {
    ++levels_.back();
    return deeper();
  }
  Status deeper() {
    if (++depth_ <= max_nesting_) return {};
    return error(Errc::kTooLarge,
                 "an expression nested deeper than " + std::to_string(max_nesting_) + " levels");
  }

  enum class Previous : std::uint8_t { kNothing, kOperand, kDot };

  const std::string& qualifier_;
  std::string_view text_;
  std::uint64_t max_nesting_;
  const OperatorFilter& allowed_;
  std::vector<CodeUnit> units_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  bool line_start_ = true;
  bool at_line_head_ = true;
  std::vector<std::size_t> indents_{0};
  std::vector<std::uint64_t> levels_{0};  ///< operators so far in each open bracket's current element
  std::uint64_t depth_ = 0;               ///< the sum of levels_, plus the open brackets
  Previous previous_ = Previous::kNothing;
  std::string_view keyword_;
  std::string chain_;
};

}  // namespace

Expected<std::vector<CodeUnit>> scan_source(const std::string& qualifier, std::string_view text,
                                            std::uint64_t max_nesting, const OperatorFilter& allowed) {
  return Scanner(qualifier, text, max_nesting, allowed).run();
}

}  // namespace wasmgrad::training::vet
