"""Speech: how well voice activity is found, and how fast sound, subtitles and Whisper are read.

    python -m benchmarks.speech [--whisper tiny base]

Makes its own sound with espeak-ng: sentences of several voices, mixed with silence, noise, hum and tones that change like
music. The table says which hundredths of a second are called speech: precision and recall against when the voices really
sound, beside the simplest way, a threshold on the energy of 32 ms. `--whisper` times models of the published sizes with
random weights and a forced number of tokens, which cost what the published ones cost.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.probe import probe
from pipeline.speech.activity import FRAME, SpeechDetector, speech_spans
from pipeline.speech.audio import RATE, Sound
from pipeline.speech.sidecar import Sidecar, read_sidecar
from schemas.records import Span

VOICES = ("en-us", "en-gb+f3", "de", "fr+m3", "es+f2", "en-us+whisper")
SENTENCES = (
    "We will meet again tomorrow, at nine o'clock.",
    "No.",
    "The quick brown fox jumps over the lazy dog, while nobody is looking at all.",
    "Where did you put the keys of the car?",
)
# Tokens of 30 s of ordinary speech: 2.5 words a second, 1.4 tokens a word.
TOKENS = 105
SIZES = {"tiny": (384, 4, 6), "base": (512, 6, 8), "small": (768, 12, 12)}  # width, layers, heads

Array = NDArray[np.float32]
Result = TypeVar("Result")


def spoken(folder: Path, voice: str, sentence: str) -> Array:
    """A sentence as espeak-ng says it, without the silence around it, at a level of .05."""
    path = folder / "said.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-w", path, sentence], check=True)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        frames = [*(frame for frame in container.decode(audio=0)), None]
        said = np.concatenate([ready.to_ndarray()[0] for frame in frames for ready in resampler.resample(frame)])
    loud = np.flatnonzero(np.abs(said) > 0.01)
    said = said[loud[0] : loud[-1]]
    return np.asarray(0.05 * said / said.std(), np.float32)


def conversation(folder: Path, random: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
    """Sentences with pauses of 1 to 6 s, and for every sample whether one sounds."""
    parts: list[Array] = []
    truth: list[NDArray[np.bool_]] = []
    for voice in VOICES:
        for sentence in SENTENCES:
            said = spoken(folder, voice, sentence)
            pause = np.zeros(int(random.uniform(1, 6) * RATE), np.float32)
            parts += [pause, said]
            truth += [np.zeros(len(pause), bool), np.ones(len(said), bool)]
    return np.concatenate(parts), np.concatenate(truth)


def music(count: int, random: np.random.Generator) -> Array:
    """Chords of three tones with overtones, four a second, at a level of .05."""
    times_s = np.arange(count) / RATE
    sound = np.zeros(count)
    for _ in range(3):
        steps = random.integers(0, 12, count // (RATE // 4) + 1)
        pitches = 220 * 2 ** (np.repeat(steps, RATE // 4)[:count] / 12)
        phase = 2 * np.pi * np.cumsum(pitches) / RATE
        sound += sum(np.sin(overtone * phase) / overtone for overtone in (1, 2, 3))
    sound *= np.exp(-(times_s % 0.25) * 6)
    return np.asarray(0.05 * sound / sound.std(), np.float32)


def backgrounds(count: int, random: np.random.Generator) -> dict[str, Array]:
    """What the conversation is mixed with, by name."""
    noise = random.normal(0, 1, count).astype(np.float32)
    hum = np.sin(2 * np.pi * 50 * np.arange(count) / RATE).astype(np.float32)
    changing = np.repeat(random.uniform(0, 1, count // RATE + 1), RATE)[:count].astype(np.float32)
    return {
        "silence": np.zeros(count, np.float32),
        "noise, 20 dB below": 0.005 * noise,
        "noise, 5 dB below": 0.028 * noise,
        "noise that comes and goes": 0.03 * changing * noise,
        "hum, as loud": 0.07 * hum,
        "music, 10 dB below": 0.316 * music(count, random),
        "music, as loud": music(count, random),
    }


def by_energy(sound: Array) -> list[Span]:
    """Speech where 32 ms are louder than four times the quietest tenth of the sound, and than .005."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    level = frames.std(axis=1)
    loud = level > max(4 * float(np.quantile(level, 0.1)), 0.005)
    return speech_spans(loud.astype(np.float32))


def score(spans: list[Span], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Precision and recall by time. What is put around speech, 0.2 s, counts neither way, nor do pauses of that length."""
    found = np.zeros(len(truth), bool)
    for start_s, end_s in spans:
        found[int(start_s * RATE) : int(end_s * RATE)] = True
    reach = int(0.25 * RATE)
    padded = np.convolve(truth[:: RATE // 100].astype(np.float32), np.ones(2 * reach // (RATE // 100) + 1), "same") > 0
    found, truth = found[:: RATE // 100], truth[:: RATE // 100]
    return float((found & padded).sum() / max(1, found.sum())), float((found & truth).sum() / truth.sum())


def activity(folder: Path) -> None:
    """The table of voice activity, and its speed."""
    random = np.random.default_rng(0)
    detector = SpeechDetector()
    said, truth = conversation(folder, random)
    print(f"{len(said) / RATE:.0f} s, of which {truth.mean():.0%} are speech")
    print(f"{'precision, recall':<28}{'Silero':>14}{'energy':>14}")
    for name, background in backgrounds(len(said), random).items():
        sound = np.clip(said + background, -1, 1)
        trained = speech_spans(detector.probabilities([sound]))
        cells = [score(spans, truth) for spans in (trained, by_energy(sound))]
        print(f"{name:<28}" + "".join(f"{precision:>8.2f}{recall:>6.2f}" for precision, recall in cells))
        alone = [speech_spans(detector.probabilities([background])), by_energy(background)]
        shares = [sum(end_s - start_s for start_s, end_s in spans) * RATE / len(said) for spans in alone]
        print(f"{'   alone: called speech':<28}" + "".join(f"{share:>14.1%}" for share in shares))
    seconds, _ = timed(lambda: detector.probabilities([said]))
    print(f"voice activity: {len(said) / RATE / seconds:.0f} s of sound per CPU second")


def timed(work: Callable[[], Result], repeat: int = 3) -> tuple[float, Result]:
    """CPU seconds of the fastest of some calls, and its result."""
    best = float("inf")
    for _ in range(repeat):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best, result


def decoding(folder: Path) -> None:
    """The speed of decoding ten minutes of sound."""
    for codec, rate, layout, ending in (
        ("aac", 48_000, "stereo", "mp4"),
        ("ac3", 48_000, "5.1", "mkv"),
        ("libopus", 48_000, "stereo", "mkv"),
    ):
        path = folder / f"{codec}.{ending}"
        command = f"ffmpeg -v error -f lavfi -i anoisesrc=d=600:a=0.1:r={rate} -f lavfi -i color=d=600:s=64x64:r=1"
        encode = f"-map 1 -map 0 -c:v libx264 -preset ultrafast -c:a {codec} -ar {rate} -channel_layout {layout}"
        channels = {"stereo": "2", "5.1": "6"}[layout]
        subprocess.run([*command.split(), *encode.split(), "-ac", channels, path], check=True)
        sound = partial(Sound, str(path), probe(str(path)))
        seconds, count = timed(lambda sound=sound: sum(len(chunk.samples) for chunk in sound()))  # type: ignore[misc]
        print(f"{codec + ', ' + layout:<28}{count / RATE / seconds:>8.0f} s of sound per CPU second")


def subtitles(folder: Path) -> None:
    """The speed of reading subtitles."""
    path = folder / "film.en.srt"
    lines = []
    for number in range(20_000):
        minutes, seconds = divmod(2 * number, 60)
        clock = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
        lines.append(f"{number}\n{clock},000 --> {clock},900\n<i>Line {number}</i> of the film\n\n")
    path.write_text("".join(lines))
    cost_s, rows = timed(lambda: read_sidecar(Sidecar(str(path), "en", False)))
    print(
        f"subtitles: {len(rows) / cost_s:,.0f} cues per CPU second; a film's 1,500 in {1500e3 * cost_s / len(rows):.0f} ms"
    )


def whisper(sizes: list[str]) -> None:
    """The cost of models with random weights: 30 s of sound, `TOKENS` tokens."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from pipeline.models.loading import use_faster_fp32
    from pipeline.models.pixels import best_device, choose_dtype

    use_faster_fp32()
    torch.set_num_threads(1)  # threads that wait for each other would count as CPU time
    dtype = choose_dtype("auto", best_device())
    for size in sizes:
        width, layers, heads = SIZES[size]
        config = WhisperConfig(
            d_model=width,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=4 * width,
            decoder_ffn_dim=4 * width,
        )
        model = WhisperForConditionalGeneration(config).to(dtype).eval()
        model.generation_config.alignment_heads = [[layers - 1, head] for head in range(6)]
        features = torch.randn(1, 80, 3000, dtype=dtype)
        mask = torch.ones(1, 3000, dtype=torch.long)

        def hear(model: object = model, features: object = features, mask: object = mask) -> object:
            return model.generate(  # type: ignore[attr-defined]
                features,
                attention_mask=mask,
                return_token_timestamps=True,
                return_dict_in_generate=True,
                output_scores=True,
                force_unique_generate_call=True,
                min_new_tokens=TOKENS,
                max_new_tokens=TOKENS,
            )

        with torch.inference_mode():
            seconds, _ = timed(hear)
        print(f"whisper {size}, {dtype}: {30 / seconds:.1f} s of speech per CPU second, with words' times, one thread")
        print(f"whisper {size}, faster-whisper's engine, int8: {30 / by_ctranslate(model):.1f} s")


def by_ctranslate(model: Any) -> float:
    """CPU seconds for 30 s of sound and `TOKENS` tokens, with words' times, by CTranslate2 in int8."""
    import ctranslate2
    from ctranslate2.converters.transformers import WhisperLoader

    spec = WhisperLoader().get_model_spec(model.float())
    size = model.config.vocab_size
    names = [f"word{number}" for number in range(size - 1501)] + [f"<|{number * 0.02:.2f}|>" for number in range(1501)]
    names[:5] = ["", "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "<|nospeech|>"]
    spec.register_vocabulary(names)
    spec.config.alignment_heads = model.generation_config.alignment_heads
    spec.config.suppress_ids, spec.config.suppress_ids_begin, spec.config.lang_ids = [1], [1], [4]
    spec.validate()
    spec.optimize("int8")
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        engine = ctranslate2.models.Whisper(folder, compute_type="int8", intra_threads=1)
    features = ctranslate2.StorageView.from_array(np.random.default_rng(0).normal(size=(1, 80, 3000)).astype(np.float32))

    def hear() -> None:
        encoded = engine.encode(features)
        (result,) = engine.generate(encoded, [[2]], beam_size=1, max_length=2 * TOKENS, return_logits_vocab=True)
        tokens = result.sequences_ids[0]
        assert len(tokens) == TOKENS, f"{len(tokens)} tokens"
        engine.align(encoded, [2], [tokens], [1500])

    return timed(hear)[0]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whisper", nargs="*", choices=[*SIZES], default=[], help="sizes to time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        activity(Path(scratch))
        decoding(Path(scratch))
        subtitles(Path(scratch))
    whisper(arguments.whisper)
    print(f"{time.strftime('%Y-%m-%d')}, PyAV {av.__version__}")


if __name__ == "__main__":
    main()
