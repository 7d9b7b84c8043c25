//! The shaders as naga reads them, with no GPU: each file is valid, says the same as the kernels' descriptors, stays
//! within WebGPU's default limits, and translates to the language of every backend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use naga::back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, ArraySize, Module, ScalarKind, ShaderStage, StorageAccess, TypeInner};
use wgrad::{KERNELS, Kernel, MAX_BINDINGS, MAX_INPUTS, MAX_OUTPUTS};

/// Path below `shaders/`, without its ending, and source of every shader file.
fn files() -> BTreeMap<String, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            assert_eq!(path.extension().unwrap(), "wgsl", "{} is no shader", path.display());
            let name = path.strip_prefix(&root).unwrap().with_extension("");
            files.insert(name.to_str().unwrap().replace('\\', "/"), fs::read_to_string(&path).unwrap());
        }
    }
    assert!(!files.is_empty(), "no shaders in {}", root.display());
    files
}

/// The files that a module is made of.
fn parts(kernel: &Kernel, files: &BTreeMap<String, String>) -> Vec<String> {
    let (mut rest, mut parts) = (kernel.wgsl, Vec::new());
    while !rest.is_empty() {
        let found = files.iter().find_map(|(name, source)| Some((name, rest.strip_prefix(source.as_str())?)));
        let (name, behind) =
            found.unwrap_or_else(|| panic!("{} is not made of files as they are: {rest}", kernel.name));
        parts.push(name.clone());
        rest = behind.strip_prefix('\n').unwrap();
    }
    parts
}

/// No optional language features: what every WebGPU implementation takes.
fn parse(name: &str, source: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string_with_path(source, name)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string_with_path(source, name)));
    (module, info)
}

/// A binding that an entry point uses.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Uniform { bytes: u32 },
    Input,
    Output,
}

/// What an entry point binds, by group and number, and its workgroup memory in bytes.
fn reflect(module: &Module, info: &ModuleInfo, entry_point: &str) -> (BTreeMap<(u32, u32), Binding>, u32) {
    let index = module.entry_points.iter().position(|entry| entry.name == entry_point).unwrap();
    let uses = info.get_entry_point(index);
    let mut bindings = BTreeMap::new();
    let mut workgroup_bytes = 0;
    for (handle, global) in module.global_variables.iter() {
        if uses[handle].is_empty() {
            continue;
        }
        let inner = &module.types[global.ty].inner;
        let binding = match global.space {
            AddressSpace::WorkGroup => {
                workgroup_bytes += inner.size(module.to_ctx());
                continue;
            }
            // Each invocation's own.
            AddressSpace::Private => continue,
            AddressSpace::Uniform => Binding::Uniform { bytes: inner.size(module.to_ctx()) },
            AddressSpace::Storage { access } => {
                let TypeInner::Array { base, size: ArraySize::Dynamic, stride: 4 | 16 } = inner else {
                    panic!("{:?} of {entry_point} is no array of 4-byte numbers, or of four of them", global.name);
                };
                let (TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. }) = module.types[*base].inner else {
                    panic!("an array of no numbers")
                };
                assert!(matches!(scalar.kind, ScalarKind::Float | ScalarKind::Uint), "{:?}", global.name);
                if access.contains(StorageAccess::STORE) { Binding::Output } else { Binding::Input }
            }
            other => panic!("{entry_point} uses {other:?} memory"),
        };
        let place = global.binding.unwrap();
        let twice = bindings.insert((place.group, place.binding), binding);
        assert_eq!(twice, None, "{entry_point} uses two variables at one binding");
    }
    (bindings, workgroup_bytes)
}

/// The workgroup's size, and its memory in bytes, of an entry point whose `override`s have their defaults.
fn with_defaults(module: &Module, info: &ModuleInfo, entry_point: &str) -> ([u32; 3], u32) {
    let chosen = Some((ShaderStage::Compute, entry_point));
    let (module, info) = process_overrides(module, info, chosen, &Default::default()).unwrap();
    let entry = module.entry_points.iter().find(|entry| entry.name == entry_point).unwrap();
    (entry.workgroup_size, reflect(&module, &info, entry_point).1)
}

fn described(kernel: &Kernel) -> BTreeMap<(u32, u32), Binding> {
    let mut bindings = BTreeMap::from([((0, 0), Binding::Uniform { bytes: kernel.params_size as u32 })]);
    for i in 0..kernel.inputs + kernel.outputs {
        let binding = if i < kernel.inputs { Binding::Input } else { Binding::Output };
        bindings.insert((0, 1 + i as u32), binding);
    }
    if kernel.uses_step {
        bindings.insert((1, 0), Binding::Uniform { bytes: 4 });
    }
    if kernel.runs_steps {
        bindings.insert((1, 1), Binding::Uniform { bytes: 4 });
    }
    bindings
}

#[test]
fn every_entry_point_is_a_kernel_and_every_kernel_an_entry_point() {
    let files = files();
    let (mut entries, mut used) = (BTreeSet::new(), BTreeSet::new());
    for kernel in KERNELS {
        let (stem, entry_point) = kernel.name.split_once('.').unwrap();
        assert_eq!(kernel.entry_point, entry_point, "{}", kernel.name);
        let parts = parts(kernel, &files);
        // `matmul.tiled` stands in matmul.wgsl, or in a file of the folder matmul.
        let own = |part: &String| part == stem || part.starts_with(&format!("{stem}/"));
        assert!(parts.iter().all(|part| own(part) || part.starts_with("common/")), "{}: {parts:?}", kernel.name);
        assert!(parts.iter().any(own), "{}: {parts:?}", kernel.name);
        used.extend(parts);
        let (module, _) = parse(kernel.name, kernel.wgsl);
        for entry in &module.entry_points {
            assert_eq!(entry.stage, ShaderStage::Compute);
            entries.insert(format!("{stem}.{}", entry.name));
        }
    }
    let registered: BTreeSet<_> = KERNELS.iter().map(|kernel| kernel.name.to_string()).collect();
    assert_eq!(registered.len(), KERNELS.len(), "two kernels have one name");
    assert_eq!(entries, registered);
    assert_eq!(used, files.keys().cloned().collect(), "a file belongs to no kernel");
}

/// Name, type and offset of each field of the struct at group 0, binding 0 that an entry point uses.
fn uniform(module: &Module, info: &ModuleInfo, entry_point: &str) -> Vec<(String, &'static str, usize)> {
    let index = module.entry_points.iter().position(|entry| entry.name == entry_point).unwrap();
    let uses = info.get_entry_point(index);
    let is_params = |global: &naga::GlobalVariable| global.binding.is_some_and(|b| (b.group, b.binding) == (0, 0));
    let found = module.global_variables.iter().find(|(handle, global)| is_params(global) && !uses[*handle].is_empty());
    let TypeInner::Struct { members, .. } = &module.types[found.unwrap().1.ty].inner else { panic!("no struct") };
    let field = |member: &naga::StructMember| {
        let ty = match module.types[member.ty].inner {
            TypeInner::Scalar(naga::Scalar::U32) => "u32",
            TypeInner::Scalar(naga::Scalar::F32) => "f32",
            // A uniform's arrays are of rows of four.
            TypeInner::Array { size: ArraySize::Constant(len), stride: 16, .. } if len.get() == 8 => "[[u32; 4]; 8]",
            ref other => panic!("a parameter that is {other:?}"),
        };
        (member.name.clone().unwrap(), ty, member.offset as usize)
    };
    members.iter().map(field).collect()
}

#[test]
fn descriptors_say_what_the_shaders_say() {
    for kernel in KERNELS {
        let name = kernel.name;
        let (module, info) = parse(name, kernel.wgsl);
        let (bindings, _) = reflect(&module, &info, kernel.entry_point);
        // An entry point may leave an input to the others of its file: matmul.add_parts has no second factor.
        let mut described = described(kernel);
        described.retain(|place, binding| *binding != Binding::Input || bindings.contains_key(place));
        assert_eq!(bindings, described, "{name}");
        let fields: Vec<_> = kernel.fields.iter().map(|f| (f.name.to_string(), f.ty, f.offset)).collect();
        assert_eq!(uniform(&module, &info, kernel.entry_point), fields, "{name}");
        // Where it is an `override`, the descriptor has the value that it has unless the host sets another.
        let (entry_size, _) = with_defaults(&module, &info, kernel.entry_point);
        assert_eq!(entry_size, kernel.workgroup_size, "{name}");
        let overrides: BTreeSet<_> = module.overrides.iter().map(|(_, o)| o.name.clone().unwrap()).collect();
        let constants = (kernel.constants)(&vec![0; kernel.params_size]);
        let constants: BTreeSet<_> = constants.iter().map(|(name, _)| (*name).to_string()).collect();
        assert_eq!(constants, overrides, "{name}");
    }
}

/// Sizes of blocks, tiles and workgroups are defined in both languages: every named constant of a shader has the value
/// that the host counts with.
#[test]
fn constants_are_those_of_the_host() {
    for kernel in KERNELS {
        let (module, _) = parse(kernel.name, kernel.wgsl);
        let named = module.constants.iter().filter_map(|(_, constant)| Some((constant.name.clone()?, constant.init)));
        let in_shader: BTreeMap<_, _> = named
            .map(|(name, init)| match module.global_expressions[init] {
                naga::Expression::Literal(naga::Literal::U32(value)) => (name, value as usize),
                ref other => panic!("{}: {name} is {other:?}", kernel.name),
            })
            .collect();
        let on_host = kernel.shared.iter().map(|(name, value)| ((*name).to_string(), *value)).collect();
        assert_eq!(in_shader, on_host, "{}", kernel.name);
    }
}

#[test]
fn shaders_stay_within_the_default_limits_of_webgpu() {
    const { assert!(MAX_BINDINGS <= 8, "storage buffers of a stage") };
    for kernel in KERNELS {
        assert!(kernel.inputs <= MAX_INPUTS && kernel.outputs <= MAX_OUTPUTS, "{}", kernel.name);
        assert!(kernel.inputs + kernel.outputs <= MAX_BINDINGS, "{}", kernel.name);
        let [x, y, z] = kernel.workgroup_size;
        assert!(x <= 256 && y <= 256 && z <= 64 && x * y * z <= 256, "{}", kernel.name);
        // Parameters of a dispatch lie 256 bytes apart.
        assert!(kernel.params_size <= 256, "{}", kernel.name);
        let (module, info) = parse(kernel.name, kernel.wgsl);
        let (_, workgroup_bytes) = with_defaults(&module, &info, kernel.entry_point);
        assert!(workgroup_bytes <= 16 << 10, "{} takes {workgroup_bytes} bytes of workgroup memory", kernel.name);
    }
}

/// Name and body of each function of a file, without comments and spaces; whether it is an entry point.
fn functions(source: &str) -> Vec<(String, String, bool)> {
    let lines = source.lines().map(|line| line.split("//").next().unwrap());
    let text: String = lines.flat_map(|line| line.split_whitespace().chain(["\n"])).collect::<Vec<_>>().join(" ");
    let starts = text.match_indices("fn ").filter(|(at, _)| text[..*at].ends_with("\n "));
    starts
        .map(|(at, _)| {
            let name = text[at + 3..].split('(').next().unwrap().trim().to_string();
            let open = at + text[at..].find('{').unwrap();
            let mut depth = 0;
            let end = text[open..].find(|c| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0
            });
            let body = text[open..open + end.unwrap()].replace(char::is_whitespace, "");
            let before = &text[..at];
            let is_entry_point = before[before.rfind('}').unwrap_or(0)..].contains("@compute");
            (name, body, is_entry_point)
        })
        .collect()
}

#[test]
fn no_function_stands_in_two_files() {
    let (mut names, mut bodies) = (BTreeMap::new(), BTreeMap::new());
    for (file, source) in files() {
        for (name, body, is_entry_point) in functions(&format!("\n{source}")) {
            let place = format!("{name} of {file}.wgsl");
            // Entry points are named behind their file: `bias.forward`.
            let full = if is_entry_point { place.clone() } else { name };
            if let Some(other) = names.insert(full, place.clone()) {
                panic!("{place} has the name of {other}");
            }
            if let Some(other) = bodies.insert(body, place.clone()) {
                panic!("{place} does what {other} does");
            }
        }
    }
    assert!(names.len() > 50, "{names:?}");
}

#[test]
fn every_kernel_translates_to_every_shading_language() {
    for kernel in KERNELS {
        for policy in [BoundsCheckPolicy::Unchecked, BoundsCheckPolicy::Restrict] {
            let policies =
                BoundsCheckPolicies { index: policy, buffer: policy, image_load: policy, binding_array: policy };
            let checked = policy != BoundsCheckPolicy::Unchecked;
            translate(kernel, policies, checked);
        }
    }
}

fn translated<T, E: std::fmt::Display>(kernel: &Kernel, language: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{} to {language}: {error}", kernel.name))
}

/// As wgpu translates: one entry point, with the constants of its simplest dispatch, for Vulkan, GL, Direct3D 12 and Metal.
fn translate(kernel: &Kernel, bounds_check_policies: BoundsCheckPolicies, checked: bool) {
    let (module, info) = parse(kernel.name, kernel.wgsl);
    let entry = (ShaderStage::Compute, kernel.entry_point.to_string());
    let (module, info) =
        process_overrides(&module, &info, Some((entry.0, kernel.entry_point)), &Default::default()).unwrap();

    let pipeline = spv::PipelineOptions { shader_stage: entry.0, entry_point: entry.1.clone() };
    let options = spv::Options { bounds_check_policies, force_loop_bounding: checked, ..Default::default() };
    let words = spv::write_vec(&module, &info, &options, Some(&pipeline));
    let words = translated(kernel, "SPIR-V", words);
    assert_eq!(words[0], 0x0723_0203, "SPIR-V's magic number");

    let pipeline = glsl::PipelineOptions { shader_stage: entry.0, entry_point: entry.1.clone(), multiview: None };
    let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
    let mut text = String::new();
    let written = glsl::Writer::new(&mut text, &module, &info, &options, &pipeline, bounds_check_policies)
        .and_then(|mut writer| writer.write());
    translated(kernel, "GLSL ES 3.1", written);
    assert!(text.contains("#version 310 es"), "{text}");

    let pipeline = hlsl::PipelineOptions { entry_point: Some(entry.clone()) };
    let options = hlsl::Options { force_loop_bounding: checked, restrict_indexing: checked, ..Default::default() };
    let mut text = String::new();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None);
    let reflection = translated(kernel, "HLSL", written);
    assert!(reflection.entry_point_names.iter().all(Result::is_ok), "{}: {reflection:?}", kernel.name);
    assert!(text.contains("numthreads"), "{text}");

    let pipeline = msl::PipelineOptions { entry_point: Some(entry), ..Default::default() };
    let options = msl::Options {
        lang_version: (2, 0),
        bounds_check_policies,
        force_loop_bounding: checked,
        ..Default::default()
    };
    let written = msl::write_string(&module, &info, &options, &pipeline);
    let (text, translation) = translated(kernel, "Metal's language", written);
    assert!(translation.entry_point_names.iter().all(Result::is_ok), "{}", kernel.name);
    assert!(text.contains("kernel void"), "{text}");
}
