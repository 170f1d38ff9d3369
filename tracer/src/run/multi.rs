//! Programs of a kind that aya 0.14 cannot load: those for many places at once, whose kind the kernel wants to know when
//! they are loaded (`expected_attach_type`), and those for functions of the kernel, which it attaches without cookies.
//!
//! aya has read the object and made its maps. Here the object is read once more, by aya's own reader, and its code is
//! given the addresses of those maps, as aya does for the programs that it loads itself.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya_obj::Object;

use super::{Error, sys};

/// The programs of an object, ready to be loaded.
pub struct Programs {
    object: Object,
    /// The object's types, if it has functions that are called back: the kernel wants to know which they are.
    types: Option<OwnedFd>,
}

impl Programs {
    /// Of the object that `ebpf` was made from.
    pub fn new(bytes: &[u8], ebpf: &Ebpf) -> Result<Self, Error> {
        let mut object = Object::parse(bytes).map_err(|error| Error::Object(error.into()))?;
        let sections: HashSet<usize> = object.functions.keys().map(|&(section, _)| section).collect();
        let maps: Vec<(String, BorrowedFd<'_>, aya_obj::Map)> = object
            .maps
            .iter()
            .filter_map(|(name, map)| Some((name.clone(), data(ebpf.map(name)?)?.fd().as_fd(), map.clone())))
            .collect();
        object
            .relocate_maps(maps.iter().map(|(name, fd, map)| (name.as_str(), fd.as_raw_fd(), map)), &sections)
            .and_then(|()| object.relocate_calls(&sections))
            .map_err(|error| Error::Object(error.into()))?;
        let described = object.functions.values().any(|function| !function.func_info.func_info.is_empty());
        let types = match (&object.btf, described) {
            (Some(btf), true) => Some(sys::load_types(&btf.to_bytes()).map_err(Error::io("cannot load types"))?),
            _ => None,
        };
        Ok(Self { object, types })
    }

    /// Hands a program to the verifier, for one kind of attachment.
    pub fn load(&self, symbol: &str, kind: sys::Kind) -> Result<OwnedFd, Error> {
        let program = self.object.programs.get(symbol).ok_or_else(|| Error::missing(symbol))?;
        let function = self.object.functions.get(&program.function_key()).ok_or_else(|| Error::missing(symbol))?;
        let name = CString::new(symbol).map_err(|_| Error::missing(symbol))?;
        let functions = function.func_info.func_info_bytes();
        let types = self.types.as_ref().map(|types| sys::Types {
            types: types.as_fd(),
            functions: &functions,
            size: function.func_info_rec_size,
        });
        let program = sys::Program { name: &name, license: &program.license, code: &function.instructions, types };
        sys::load_program(&program, kind).map_err(|sys::Rejected { error, log }| Error::of_load(symbol, error, log))
    }
}

/// What aya knows of a map, of the kinds that our objects have.
fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::PerfEventArray(data)
        | Map::RingBuf(data)
        | Map::StackTraceMap(data)
        | Map::Unsupported(data) => Some(data),
        _ => None,
    }
}
