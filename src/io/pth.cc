// A pickle machine that knows the opcodes and names with which torch.save writes tensors, and calls nothing. Values live in one
// list and refer to each other by place, so neither cycles nor depth cost anything; lengths are held to the file before they are
// used.
#include "io/pth.h"

#include <cstring>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "io/bytes.h"
#include "io/zip.h"

namespace headrace {
namespace {

constexpr size_t largest_pickle = size_t{4} << 20, most_items = size_t{1} << 20;   // a model of 14B parameters has 400 KB, 30,000

struct Item {
  enum Kind : uint8_t { none, boolean, integer, real, string, tuple, list, dict, ordered_dict_name, tensor_name, parameter_name, storage_name,
      storage, tensor };
  Kind kind = none;
  DType dtype = DType::f32;                        // of a storage, and of the name of its class
  int64_t number = 0;                              // an integer, a boolean, the place of a tensor
  std::string_view text;
  std::span<const std::byte> data;                 // of a storage
  std::vector<uint32_t> items;                     // of a tuple, list or dict (key, value, key, value ...)
};
const char* name(Item::Kind k) {
  static constexpr const char* names[] = {"None", "a boolean", "an integer", "a float", "a string", "a tuple", "a list", "a dict", "a class",
      "a function",
                                          "a function", "a class", "a storage", "a tensor"};
  return names[k];
}

class Unpickler {
 public:
  Unpickler(std::span<const std::byte> pickle, const std::string& file,
      const std::unordered_map<std::string_view, std::span<const std::byte>>& storages,
            std::shared_ptr<const void> owner)
      : file_(file), r_{pickle, file}, storages_(storages), owner_(std::move(owner)) {}

  TensorFile run() {
    while (step()) {
    }
    TensorFile all(file_);
    const Item& top = items_[pop("the result")];
    expect(top.kind == Item::dict, file_, ": wanted a dict of tensors, found ", name(top.kind));
    for (size_t i = 0; i + 1 < top.items.size(); i += 2) {
      const Item &key = items_[top.items[i]], &value = items_[top.items[i + 1]];
      expect(key.kind == Item::string, file_, ": wanted the name of a tensor, found ", name(key.kind));
      expect(value.kind == Item::tensor, file_, ": ", shown(key.text), ": wanted a tensor, found ", name(value.kind));
      all.add(std::string(key.text), tensors_[static_cast<size_t>(value.number)]);
    }
    return all;
  }

 private:
  uint32_t add(Item item) {
    expect(items_.size() < most_items, file_, ": data.pkl: more than ", most_items, " values");
    items_.push_back(std::move(item));
    return static_cast<uint32_t>(items_.size() - 1);
  }
  void push(Item item) { stack_.push_back(add(std::move(item))); }
  uint32_t pop(const char* what) {
    expect(stack_.size() > (marks_.empty() ? 0 : marks_.back()), file_, ": data.pkl: ", what, " is missing at byte ", r_.at);
    const uint32_t top = stack_.back();
    stack_.pop_back();
    return top;
  }
  std::vector<uint32_t> pop_to_mark() {
    expect(!marks_.empty(), file_, ": data.pkl: a mark is missing at byte ", r_.at);
    std::vector<uint32_t> taken(stack_.begin() + static_cast<int64_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return taken;
  }
  std::vector<uint32_t> pop_some(size_t n) {
    std::vector<uint32_t> taken(n);
    while (n > 0) taken[--n] = pop("an item");
    return taken;
  }
  void push_tuple(std::vector<uint32_t> items) { push({.kind = Item::tuple, .items = std::move(items)}); }
  void extend(Item::Kind kind, const std::vector<uint32_t>& items) {
    expect(!stack_.empty() && items_[stack_.back()].kind == kind, file_, ": data.pkl: wanted ", name(kind), " to add to at byte ", r_.at);
    expect(kind == Item::list || items.size() % 2 == 0, file_, ": data.pkl: a key without a value at byte ", r_.at);
    auto& all = items_[stack_.back()].items;
    all.insert(all.end(), items.begin(), items.end());
  }
  void put(uint32_t place) {
    expect(!stack_.empty(), file_, ": data.pkl: nothing to remember at byte ", r_.at);
    memo_[place] = stack_.back();
  }
  void get(uint32_t place) {
    auto found = memo_.find(place);
    expect(found != memo_.end(), file_, ": data.pkl: nothing was remembered as ", place);
    expect(stack_.size() < most_items, file_, ": data.pkl: more than ", most_items, " values");
    stack_.push_back(found->second);
  }
  std::string_view text(uint64_t bytes) {
    auto s = r_.take(bytes, "string in data.pkl");
    return {reinterpret_cast<const char*>(s.data()), s.size()};
  }
  std::string_view line() {
    auto rest = r_.bytes.subspan(r_.at);
    const std::string_view all(reinterpret_cast<const char*>(rest.data()), rest.size());
    const size_t end = all.find('\n');
    expect(end != all.npos, file_, ": data.pkl: a name without an end at byte ", r_.at);
    r_.at += end + 1;
    return all.substr(0, end);
  }
  int64_t long_integer(size_t bytes) {
    expect(bytes <= 8, file_, ": data.pkl: an integer of ", bytes, " bytes at byte ", r_.at);
    auto digits = r_.take(bytes, "integer in data.pkl");
    int64_t v = 0;
    if (bytes > 0 && static_cast<int8_t>(digits.back()) < 0) v = -1;
    std::memcpy(&v, digits.data(), bytes);
    return v;
  }

  Item global(std::string_view module, std::string_view what) {
    if (module == "collections" && what == "OrderedDict") return {.kind = Item::ordered_dict_name};
    if (module == "torch._utils" && what == "_rebuild_tensor_v2") return {.kind = Item::tensor_name};
    if (module == "torch._utils" && what == "_rebuild_parameter") return {.kind = Item::parameter_name};
    static constexpr std::pair<std::string_view, DType> storage_classes[] = {
        {"FloatStorage", DType::f32}, {"HalfStorage", DType::f16}, {"BFloat16Storage", DType::bf16}, {"DoubleStorage", DType::f64},
            {"CharStorage", DType::i8},
        {"ByteStorage", DType::u8}, {"ShortStorage", DType::i16}, {"IntStorage", DType::i32}, {"LongStorage", DType::i64},
            {"BoolStorage", DType::boolean}};
    if (module == "torch")
      for (auto [storage, dtype] : storage_classes)
        if (what == storage) return {.kind = Item::storage_name, .dtype = dtype};
    fail(file_, ": data.pkl asks for ", shown(std::string(module) + "." + std::string(what)), "; only tensors are read");
  }
  const Item& argument(const Item& tuple, size_t i, Item::Kind kind, const char* of) {
    expect(tuple.kind == Item::tuple && i < tuple.items.size(), file_, ": data.pkl: ", of, ": argument ", i, " is missing");
    const Item& a = items_[tuple.items[i]];
    expect(a.kind == kind, file_, ": data.pkl: ", of, ": argument ", i, ": wanted ", name(kind), ", found ", name(a.kind));
    return a;
  }
  // ('storage', its class, key, device, number of elements)
  Item storage(const Item& id) {
    const char* of = "storage";
    expect(argument(id, 0, Item::string, of).text == "storage", file_, ": data.pkl: wanted a storage, found ",
        shown(argument(id, 0, Item::string, of).text));
    const DType dtype = argument(id, 1, Item::storage_name, of).dtype;
    const std::string_view key = argument(id, 2, Item::string, of).text;
    const int64_t count = argument(id, 4, Item::integer, of).number;
    auto found = storages_.find(key);
    expect(found != storages_.end(), file_, ": no storage ", shown(key));
    const auto data = found->second;
    const std::string where = headrace::text(file_, ": storage ", shown(key));
    const size_t bytes = checked_bytes(dtype, std::span(&count, 1), where);
    expect(bytes == data.size(), where, ": wanted ", count, " ", dtype, ", found ", data.size(), " bytes");
    expect(bytes == 0 || reinterpret_cast<uintptr_t>(data.data()) % static_cast<size_t>(info(dtype).block_bytes) == 0, where,
        ": is not aligned to its elements");
    return {.kind = Item::storage, .dtype = dtype, .number = count, .data = data};
  }
  std::vector<int64_t> integers(const Item& tuple, const char* of) {
    std::vector<int64_t> all;
    expect(tuple.items.size() <= Shape::max_rank, file_, ": data.pkl: ", of, ": wanted at most ", Shape::max_rank, " numbers, found ",
        tuple.items.size());
    for (size_t i = 0; i < tuple.items.size(); ++i) all.push_back(argument(tuple, i, Item::integer, of).number);
    return all;
  }
  // (storage, offset, shape, strides, requires_grad, hooks)
  Item tensor(const Item& arguments) {
    const char* of = "tensor";
    const Item& s = argument(arguments, 0, Item::storage, of);
    const int64_t offset = argument(arguments, 1, Item::integer, of).number;
    const auto shape = integers(argument(arguments, 2, Item::tuple, of), "shape"),
        strides = integers(argument(arguments, 3, Item::tuple, of), "strides");
    const std::string where = headrace::text(file_, ": tensor ", tensors_.size());
    expect(strides.size() == shape.size(), where, ": shape ", shape, " with strides ", strides);
    const size_t bytes = checked_bytes(s.dtype, shape, where), step = static_cast<size_t>(info(s.dtype).block_bytes);
    expect(offset >= 0 && offset <= s.number && bytes / step <= static_cast<size_t>(s.number - offset), where, ": wanted ", shape,
        " from element ", offset,
           ", found a storage of ", s.number);
    int64_t adjacent = 1;
    for (size_t i = shape.size(); i-- > 0; adjacent *= shape[i])
      expect(shape[i] <= 1 || strides[i] == adjacent || bytes == 0, where, ": shape ", shape, " with strides ", strides,
          "; only adjacent elements are read");
    tensors_.push_back(Tensor::view_of(s.data.data() + static_cast<size_t>(offset) * step, s.dtype, Shape(shape), owner_));
    return {.kind = Item::tensor, .number = static_cast<int64_t>(tensors_.size() - 1)};
  }
  void reduce() {
    const uint32_t arguments = pop("arguments"), function = pop("a function");
    switch (items_[function].kind) {
      case Item::ordered_dict_name:
        expect(items_[arguments].kind == Item::tuple && items_[arguments].items.empty(), file_, ": data.pkl: OrderedDict with arguments");
        return push({.kind = Item::dict});
      case Item::tensor_name: return push(tensor(items_[arguments]));
      case Item::parameter_name: {
        Item inner = argument(items_[arguments], 0, Item::tensor, "parameter");
        return push(std::move(inner));
      }
      default: fail(file_, ": data.pkl calls ", name(items_[function].kind), "; only tensors are read");
    }
  }

  bool step() {
    switch (const auto op = r_.read<uint8_t>("data.pkl")) {
      case 0x80: {
        const auto protocol = r_.read<uint8_t>("data.pkl");
        expect(protocol == 2, file_, ": data.pkl: wanted pickle protocol 2, found ", protocol);
        return true;
      }
      case '(': marks_.push_back(stack_.size()); return true;
      case '}': push({.kind = Item::dict}); return true;
      case ']': push({.kind = Item::list}); return true;
      case ')': push_tuple({}); return true;
      case 't': push_tuple(pop_to_mark()); return true;
      case 0x85: case 0x86: case 0x87: push_tuple(pop_some(op - 0x84u)); return true;
      case 'u': extend(Item::dict, pop_to_mark()); return true;
      case 's': extend(Item::dict, pop_some(2)); return true;
      case 'e': extend(Item::list, pop_to_mark()); return true;
      case 'a': extend(Item::list, pop_some(1)); return true;
      case 'N': push({.kind = Item::none}); return true;
      case 0x88: case 0x89: push({.kind = Item::boolean, .number = op == 0x88}); return true;
      case 'K': push({.kind = Item::integer, .number = r_.read<uint8_t>("data.pkl")}); return true;
      case 'M': push({.kind = Item::integer, .number = r_.read<uint16_t>("data.pkl")}); return true;
      case 'J': push({.kind = Item::integer, .number = r_.read<int32_t>("data.pkl")}); return true;
      case 0x8a: push({.kind = Item::integer, .number = long_integer(r_.read<uint8_t>("data.pkl"))}); return true;
      case 'G': r_.take(8, "data.pkl"), push({.kind = Item::real}); return true;
      case 'X': push({.kind = Item::string, .text = text(r_.read<uint32_t>("data.pkl"))}); return true;
      case 'q': put(r_.read<uint8_t>("data.pkl")); return true;
      case 'r': put(r_.read<uint32_t>("data.pkl")); return true;
      case 'h': get(r_.read<uint8_t>("data.pkl")); return true;
      case 'j': get(r_.read<uint32_t>("data.pkl")); return true;
      case 'c': {
        const std::string_view module = line(), what = line();
        push(global(module, what));
        return true;
      }
      case 'Q': {
        const uint32_t id = pop("a storage");
        push(storage(items_[id]));
        return true;
      }
      case 'R': reduce(); return true;
      case 'b':                                    // attributes of a state dict: versions of its modules
        pop("attributes");
        extend(Item::dict, {});
        return true;
      case '.': return false;
      default: fail(file_, ": data.pkl: opcode ", op, " at byte ", r_.at - 1, "; only tensors are read");
    }
  }

  const std::string& file_;
  ByteReader r_;
  const std::unordered_map<std::string_view, std::span<const std::byte>>& storages_;
  std::shared_ptr<const void> owner_;
  std::vector<Item> items_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, uint32_t> memo_;
  std::vector<Tensor> tensors_;
};

}  // namespace

TensorFile read_pth(std::span<const std::byte> bytes, const std::string& name, std::shared_ptr<const void> owner) {
  expect(!bytes.empty(), name, ": the file is empty");
  if (!owner) {
    Tensor copy = Tensor::empty({static_cast<int64_t>(bytes.size())}, DType::u8);
    std::memcpy(copy.raw(), bytes.data(), bytes.size());
    bytes = {copy.data<std::byte>(), bytes.size()};
    owner = copy.storage();
  }
  constexpr std::string_view zip = "PK\3\4";
  expect(bytes.size() >= 4 && std::memcmp(bytes.data(), zip.data(), 4) == 0, name,
         ": wanted a ZIP archive of torch.save, found other bytes (files of PyTorch before 1.6 must be saved again)");
  const auto members = zip_members(bytes, name);
  std::string_view folder;
  std::span<const std::byte> pickle;
  constexpr std::string_view pickle_name = "/data.pkl";
  for (const ZipMember& m : members)
    if (m.name.ends_with(pickle_name)) {
      expect(folder.empty(), name, ": wanted one data.pkl, found ", shown(folder), " and ", shown(m.name));
      folder = m.name.substr(0, m.name.size() - pickle_name.size() + 1);
      pickle = m.data;
    }
  expect(!folder.empty(), name, ": wanted a ZIP archive of torch.save, found no data.pkl in it");
  expect(pickle.size() <= largest_pickle, name, ": data.pkl: wanted at most ", largest_pickle, " bytes, found ", pickle.size());
  std::unordered_map<std::string_view, std::span<const std::byte>> storages;
  for (const ZipMember& m : members) {
    if (!m.name.starts_with(folder)) continue;
    const std::string_view inside = m.name.substr(folder.size());
    if (inside.starts_with("data/")) {
      expect(storages.emplace(inside.substr(5), m.data).second, name, ": member ", shown(m.name), " is there twice");
    } else if (inside == "byteorder") {
      const std::string_view order(reinterpret_cast<const char*>(m.data.data()), m.data.size());
      expect(order == "little", name, ": wanted byte order little, found ", shown(order));
    }
  }
  return Unpickler(pickle, name, storages, std::move(owner)).run();
}

TensorFile read_pth(const std::string& path) {
  MappedFile f(path);
  return read_pth(f.bytes(), path, f.share());
}

}  // namespace headrace
